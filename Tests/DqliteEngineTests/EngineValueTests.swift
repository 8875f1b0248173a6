import DqliteProtocol
import DqliteRaft
import Testing

@testable import DqliteEngine

@Suite("The writers' queue")
struct WriterQueueTests {
    let start = Instant.now

    @Test("the turn goes round in the order of asking")
    func order() {
        var queue = WriterQueue()
        #expect(queue.request(1, now: self.start, timeout: .seconds(5)) == .granted)
        #expect(queue.request(1, now: self.start, timeout: .seconds(5)) == .granted)
        #expect(queue.request(2, now: self.start, timeout: .seconds(5)) == .waits(1))
        #expect(queue.request(3, now: self.start + .seconds(1), timeout: .seconds(1)) == .waits(2))
        #expect(queue.nextDeadline == self.start + .seconds(2))
        #expect(queue.leave(9, now: self.start) == nil)
        #expect(queue.leave(1, now: self.start)?.owner == 2)
        #expect(queue.holder?.owner == 2)
        #expect(queue.leave(2, now: self.start)?.ticket == 2)
        #expect(queue.leave(3, now: self.start) == nil)
        #expect(queue.holder == nil)
        #expect(queue.nextDeadline == nil)
    }

    @Test("whoever stops waiting is passed over")
    func withdrawal() {
        var queue = WriterQueue()
        for owner in 1...4 { _ = queue.request(UInt64(owner), now: self.start, timeout: .seconds(5)) }
        #expect(queue.leave(3, now: self.start) == nil)
        #expect(queue.leave(1, now: self.start)?.owner == 2)
        #expect(queue.leave(2, now: self.start)?.owner == 4)
    }

    @Test("those whose time is over are told how long it was, and the others stay in order")
    func expiry() {
        var queue = WriterQueue()
        _ = queue.request(1, now: self.start, timeout: .seconds(5))
        _ = queue.request(2, now: self.start + .seconds(1), timeout: .seconds(5))
        _ = queue.request(3, now: self.start + .seconds(1), timeout: .seconds(2))
        _ = queue.request(4, now: self.start + .seconds(2), timeout: .seconds(5))
        #expect(queue.expire(now: self.start + .milliseconds(2999)) == [])
        let expired = queue.expire(now: self.start + .seconds(3))
        #expect(expired.map(\.waiter.owner) == [3])
        #expect(expired.first?.waited == .seconds(2))
        #expect(expired.first?.held == .seconds(3))
        #expect(queue.leave(1, now: self.start + .seconds(4))?.owner == 2)
        #expect(queue.expire(now: self.start + .seconds(7)).first?.held == .seconds(3))
        #expect(queue.leave(2, now: self.start) == nil)
    }

    @Test("a queue keeps its order when it grows and turns around")
    func ring() {
        var queue = Queue<Int>()
        var next = 0
        var expected = 0
        for round in 0..<100 {
            for _ in 0...(round % 7) {
                queue.append(next)
                next += 1
            }
            for _ in 0...(round % 5) where !queue.isEmpty {
                #expect(queue.first == expected)
                let element = queue.popFirst()
                #expect(element == expected)
                expected += 1
            }
        }
        queue.removeAll { $0 % 2 == 0 }
        while let element = queue.popFirst() { #expect(element % 2 == 1) }
    }
}

@Suite("Names, SQL text and declared types")
struct EngineTextTests {
    @Test("plain file names are taken")
    func names() throws {
        for name in ["a", "my database.db", "grüße", ".hidden", "a-walk", String(repeating: "x", count: 247), "file"] {
            let parsed = try DatabaseName(name)
            #expect(parsed.file == name && parsed.mode == .readWriteCreate)
        }
        for (text, file, mode) in [
            ("file:a%20b?mode=ro#x", "a b", DatabaseName.Mode.readOnly), ("file:a?", "a", .readWriteCreate),
            ("file:a?&cache=private&mode=rw", "a", .readWrite),
        ] {
            let parsed = try DatabaseName(text)
            #expect(parsed.file == file && parsed.mode == mode)
        }
    }

    @Test(
        "other names are refused with the reason",
        arguments: [
            ("", "is empty"), (".", "not a plain"), ("..", "not a plain"), ("a/b", "not a plain"),
            ("/a", "not a plain"),
            ("a\0b", "NUL"), ("x-wal", "ends in -wal"), ("x-shm", "ends in -shm"), ("x-journal", "ends in -journal"),
            (":memory:", "\":memory:\" is refused"), ("file::memory:", "\":memory:\" is refused"),
            (String(repeating: "x", count: 248), "at most 247"), ("file:", "is empty"),
            ("file:///etc/passwd", "not a plain"),
            ("file:a%2fb", "not a plain"), ("file:a%2", "two hexadecimal"), ("file:a%zz", "two hexadecimal"),
            ("file:a%00", "NUL"), ("file:%ff", "UTF-8"), ("file:a?mode=memory", "mode=memory is refused"),
            ("file:a?mode=x", "mode=x is refused"), ("file:a?vfs=unix", "vfs=unix is refused"),
            ("file:a?cache=shared", "cache=shared is refused"), ("file:a?immutable=1", "immutable=1 is refused"),
            ("file:a?foo", "foo= is refused"), ("file:a?mo%64e=memory", "mode=memory is refused"),
        ])
    func refusedNames(name: String, reason: String) {
        let error = #expect(throws: EngineError.self) { try DatabaseName(name) }
        #expect(error?.code == 14)
        #expect(error?.message.contains(reason) ?? false, "\(error?.message ?? "")")
    }

    @Test("blanks and comments are told from SQL as SQLite does it")
    func blanks() {
        func isBlank(_ sql: String) -> Bool { Array(sql.utf8).withUnsafeBytes { SQLText.isBlank($0) } }
        for sql in ["", " \t\n\r\u{c}", ";;", "--", "-- x", "--\n;", "/**/", "/* x", "/* * / */ ;", "\u{feff}"] {
            #expect(isBlank(sql), "\(sql)")
        }
        for sql in ["x", "- - x", "--\nx", "/*", "/ *", "/**/x", "\u{b}"] { #expect(!isBlank(sql), "\(sql)") }
    }

    @Test("keywords are found behind comments, in any case, and only whole")
    func keywords() {
        func begins(_ sql: String) -> Bool { Array(sql.utf8).withUnsafeBytes { SQLText.begins($0, with: "VACUUM") } }
        for sql in ["VACUUM", "vacuum;", " /* x */ VaCuUm INTO 'x'", ";vacuum"] { #expect(begins(sql), "\(sql)") }
        for sql in ["VACUUMS", "VACUU", "vacuum1", "vacuum_", "vacuumä", "SELECT vacuum"] {
            #expect(!begins(sql), "\(sql)")
        }
    }

    @Test("declared types")
    func types() {
        for (text, type) in [
            ("DATETIME", ColumnType.time), ("date", .time), ("TimeStamp", .time), ("BOOLEAN", .boolean),
            ("boolean", .boolean),
            ("DATETIM", .plain), ("DATETIME2", .plain), ("", .plain), ("BOOL", .plain), ("INTEGER", .plain),
        ] {
            #expect(ColumnType(declaration: text) == type, "\(text)")
        }
        #expect(ColumnType(declaration: nil) == .plain)
    }

    @Test("a SQLite that is too old, or not made for threads, is refused")
    func versions() {
        #expect(throws: Never.self) { try SQLiteVersion.check(allowsUntested: false) }
        for (compiled, running, isThreadSafe) in [
            (3_037_000, 3_036_002, true), (3_050_000, 3_040_001, true), (3_040_001, 3_040_001, false),
        ]
            as [(Int32, Int32, Bool)]
        {
            #expect(throws: EngineError.self) {
                try SQLiteVersion.check(compiled: compiled, running: running, isThreadSafe: isThreadSafe)
            }
        }
        let error = #expect(throws: EngineError.self) {
            try SQLiteVersion.check(compiled: 3_037_000, running: 3_036_002, isThreadSafe: true)
        }
        #expect(error?.message == "SQLite 3.36.2 is too old: 3.37.0 or newer is needed")
    }
}
