import NIOCore
import Testing

@testable import DqliteClient

@Suite struct QueryTests {
    @Test func `Interpolated values become parameters and nothing else`() {
        let name = "x'; DROP TABLE t; --"
        let missing: Int? = nil
        let query: DqliteQuery =
            "SELECT \(1), \(name), \(2.5), \(missing), \([1, 2] as [UInt8]), \(true) FROM \(unescaped: "\"t\"")"
        #expect(query.sql == "SELECT ?, ?, ?, ?, ?, ? FROM \"t\"")
        #expect(
            query.bindings.values == [
                .integer(1), .text(name), .real(2.5), .null, .blob(ByteBuffer(bytes: [1, 2])), .integer(1),
            ])
    }

    @Test func `Values of the standard library are stored as SQLite has them`() {
        enum Color: String, DqliteCodable { case red }
        struct Tag: RawRepresentable, DqliteCodable { var rawValue: UInt16 }
        var bindings = DqliteBindings()
        bindings.append(Int8.min)
        bindings.append(UInt64(Int64.max))
        bindings.append(Float(0.5))
        bindings.append(Color.red)
        bindings.append(Tag(rawValue: 7))
        bindings.append("a b".prefix(1))
        bindings.append(Optional(Optional(3)))
        bindings.append(DqliteValue.text("t"))
        #expect(
            bindings.values == [
                .integer(-128), .integer(Int64.max), .real(0.5), .text("red"), .integer(7), .text("a"), .integer(3),
                .text("t"),
            ])
    }

    @Test func `A value that is not exactly one parameter is refused`() async throws {
        struct Point: DqliteEncodable {
            func encode(into bindings: inout DqliteBindings) {
                bindings.append(1)
                bindings.append(2)
            }
        }
        struct Nothing: DqliteEncodable { func encode(into bindings: inout DqliteBindings) {} }
        let queries: [DqliteQuery] = [
            "UPDATE t SET p = \(Point()) WHERE id = \(7)", "SELECT \(Nothing())", "SELECT \(Optional(Point()))",
            "SELECT '\(1)'", "SELECT \"\(1)\"", "SELECT 1 -- \(1)", "SELECT /* \(1) */",
        ]
        for query in queries {
            #expect(query.bindings.problem != nil, "\(query.sql)")
            let error = #expect(throws: DqliteError.self) { try query.bindings.protocolValues() }
            #expect(error?.code == .invalidQuery)
        }
        let good: DqliteQuery = "SELECT 'it''s', \(1), \"?\", [a'b], \(2) -- '\n, \(3), 4 - 3, 4 / 2 /* ' */, \(4)"
        #expect(good.bindings.problem == nil && good.bindings.count == 4)
    }

    @Test func `Several statements are told from one`() {
        for (sql, several) in [
            ("SELECT 1", false), ("SELECT 1;", false), ("SELECT 1; \n;", false), ("SELECT ';a'", false),
            ("SELECT 1; -- a; b", false), ("SELECT 1; /* a */ ", false), ("SELECT 1;SELECT 2", true),
            ("SELECT 1; /* a */ SELECT 2", true), ("SELECT 1; -- a\nSELECT 2", true), ("SELECT '''';x", true),
        ] {
            #expect(SQLScanner(sql).hasSeveralStatements == several, "\(sql)")
        }
        #expect(SQLScanner.contains("ROLLBACK", in: "insert or rollback into t"))
        #expect(!SQLScanner.contains("END", in: "INSERT INTO calendar (ending) VALUES (1)"))
        #expect(SQLScanner.mayCommit("end") && SQLScanner.mayCommit("x;COMMIT") && !SQLScanner.mayCommit(""))
    }

    @Test func `Addresses are read as they are written`() {
        #expect(DqliteServerAddress("127.0.0.1:9001") == .hostname("127.0.0.1", port: 9001))
        #expect(DqliteServerAddress("[::1]:9001") == .hostname("::1", port: 9001))
        #expect(DqliteServerAddress("[::1]:9001")?.description == "[::1]:9001")
        #expect(DqliteServerAddress("/run/dqlite.sock") == .unixDomainSocket(path: "/run/dqlite.sock"))
        for wrong in ["", "host", ":1", "host:", "host:0", "host:65536", "::1:9001", "host:x"] {
            #expect(DqliteServerAddress(wrong) == nil, "\(wrong)")
        }
    }

    @Test func `The description of an error keeps SQL and data to itself`() {
        let error = DqliteError(
            .sqlite, outcome: .unknown, message: "secret 1",
            server: .init(extendedResultCode: 2067, message: "secret 2"), sql: "secret 3", file: "F.swift", line: 3)
        #expect(error.description == "DqliteError(sqlite 2067, outcome: unknown at F.swift:3)")
        for secret in ["secret 1", "secret 2", "secret 3"] { #expect(error.debugDescription.contains(secret)) }
        #expect(error.server?.resultCode == 19)
    }
}
