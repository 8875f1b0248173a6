import DqliteRaft
import Testing

@testable import DqliteLog

/// The newest configuration of the cluster outlives the entry that held it.
@Suite struct ConfigurationRecordTests {
    private static func configuration(_ index: UInt64, term: UInt64 = 1) -> Entry {
        Entry(
            index: LogIndex(index), term: Term(term), kind: .configuration,
            data: [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: 40))
    }

    private static func open(_ path: String) throws -> Log {
        try Log(directory: path + "/log", configuration: LogTests.configuration())
    }

    private static func indexes(_ log: Log) -> [UInt64] { log.status.configurations.map(\.index.rawValue) }

    @Test func itOutlivesItsEntry() throws {
        try LogTests.withDirectory { path in
            var log = try Self.open(path)
            try log.save(HardState(term: Term(1), vote: NodeID(4)))
            try LogTests.append([Self.configuration(1)], to: log)
            for index in UInt64(2)...200 { try LogTests.append([LogTests.entry(index)], to: log) }
            try LogTests.append([Self.configuration(201)], to: log)
            for index in UInt64(202)...600 { try LogTests.append([LogTests.entry(index)], to: log) }
            #expect(Self.indexes(log) == [1, 201])
            _ = log.truncateHead(LogNeeds(checkpoints: LogIndex(600)))
            #expect(log.status.firstIndex > LogIndex(201))
            #expect(Self.indexes(log) == [201])
            log.close()
            log = try Self.open(path)
            #expect(Self.indexes(log) == [201])
            #expect(log.status.configurations[0].data == Self.configuration(201).data)
            log.close()
        }
    }

    @Test func aCutBringsBackTheOneBefore() throws {
        try LogTests.withDirectory { path in
            var log = try Self.open(path)
            try log.save(HardState(term: Term(2)))
            try LogTests.append([Self.configuration(1), LogTests.entry(2), Self.configuration(3)], to: log)
            try log.truncateTail(after: LogIndex(2))
            #expect(Self.indexes(log) == [1])
            try LogTests.append([Self.configuration(3, term: 2)], to: log)
            log.close()
            log = try Self.open(path)
            #expect(Self.indexes(log) == [1, 3])
            try log.reset(to: LogIndex(50), term: Term(2))
            #expect(Self.indexes(log) == [])
            try log.save(StoredConfiguration(index: LogIndex(40), data: [1]))
            log.close()
            log = try Self.open(path)
            #expect(Self.indexes(log) == [40])
            log.close()
        }
    }

    /// The newest one is in the next segment already when it is cut off, and the one before is in a segment that is dropped.
    @Test func theOneBeforeOutlivesItsSegmentToo() throws {
        try LogTests.withDirectory { path in
            var log = try Self.open(path)
            try log.save(HardState(term: Term(2)))
            try LogTests.append([Self.configuration(1)], to: log)
            for index in UInt64(2)...10 { try LogTests.append([LogTests.entry(index)], to: log) }
            try LogTests.append([Self.configuration(11)], to: log)
            var last: UInt64 = 11
            let size = log.status.size
            while log.status.size == size {
                last += 1
                try LogTests.append([LogTests.entry(last)], to: log)
            }
            try log.truncateTail(after: LogIndex(10))
            try LogTests.append([LogTests.entry(11, term: 2)], to: log)
            _ = log.truncateHead(LogNeeds(checkpoints: LogIndex(10)))
            #expect(log.status.firstIndex == LogIndex(11))
            #expect(Self.indexes(log) == [1])
            log.close()
            log = try Self.open(path)
            #expect(log.status.firstIndex == LogIndex(11))
            #expect(Self.indexes(log) == [1])
            log.close()
        }
    }

    /// After a reset counts what is said then, also if it is older than what was in the log.
    @Test func aResetForgetsThem() throws {
        try LogTests.withDirectory { path in
            var log = try Self.open(path)
            try log.save(HardState(term: Term(2)))
            try LogTests.append([Self.configuration(1), LogTests.entry(2), Self.configuration(3)], to: log)
            try log.reset(to: LogIndex(50), term: Term(2))
            try log.save(StoredConfiguration(index: LogIndex(2), data: [1]))
            #expect(Self.indexes(log) == [2])
            log.close()
            log = try Self.open(path)
            #expect(Self.indexes(log) == [2])
            log.close()
        }
    }

    @Test func roomIsMadeAhead() throws {
        try LogTests.withDirectory { path in
            let log = try Self.open(path)
            try log.prepare(1 << 20)
            try log.save(HardState(term: Term(1)))
            let entry = Entry(index: LogIndex(1), term: Term(1), data: [UInt8](repeating: 7, count: 1 << 20))
            try LogTests.append([entry], to: log)
            log.close()
        }
    }
}
