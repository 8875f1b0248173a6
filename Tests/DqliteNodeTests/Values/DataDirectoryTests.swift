import DqliteProtocol
import DqliteWire
import Foundation
import Testing

@testable import DqliteNode

struct DataDirectoryTests {
    @Test func keepsIdentity() throws {
        try withTemporaryDirectory { path in
            let directory = try DataDirectory(path: path + "/data")
            #expect(try directory.identity() == nil)
            try directory.setIdentity(nodeID: 7, address: "127.0.0.1:9001")
            #expect(try directory.identity()?.nodeID == 7)
            try directory.setIdentity(nodeID: 7, address: "a-longer-name.example:9002")
            #expect(try directory.identity()?.address == "a-longer-name.example:9002")
        }
    }

    /// A node on a full disk must be able to start.
    @Test func writesNothingThatIsThereAlready() throws {
        try withTemporaryDirectory { path in
            let directory = try DataDirectory(path: path + "/data")
            try directory.setIdentity(nodeID: 7, address: "127.0.0.1:9001")
            // Nothing can be written where this is.
            try FileManager.default.createDirectory(
                atPath: path + "/data/identity.new", withIntermediateDirectories: false)
            try directory.setIdentity(nodeID: 7, address: "127.0.0.1:9001")
            #expect(throws: DqliteNodeError.self) {
                try directory.setIdentity(nodeID: 7, address: "127.0.0.1:9002")
            }
        }
    }

    @Test func belongsToOneNode() throws {
        try withTemporaryDirectory { path in
            let directory = try DataDirectory(path: path)
            try directory.check(belongsTo: 7)
            try directory.setIdentity(nodeID: 7, address: "127.0.0.1:9001")
            try directory.check(belongsTo: 7)
            let error = try #require(throws: DqliteNodeError.self) { try directory.check(belongsTo: 8) }
            #expect(error.code == .identity)
            #expect(error.message.contains("node 7"))
        }
    }

    @Test func isLockedAsLongAsItLives() throws {
        try withTemporaryDirectory { path in
            let first = try DataDirectory(path: path)
            let error = try #require(throws: DqliteNodeError.self) { try DataDirectory(path: path) }
            #expect(error.code == .locked)
            withExtendedLifetime(first) {}
        }
    }

    @Test func isFreeAfterwards() throws {
        try withTemporaryDirectory { path in
            for _ in 0..<2 { _ = try DataDirectory(path: path) }
        }
    }

    /// Every byte of the file counts.
    @Test func noticesDamage() throws {
        try withTemporaryDirectory { path in
            let directory = try DataDirectory(path: path)
            try directory.setIdentity(nodeID: 7, address: "127.0.0.1:9001")
            let file = URL(fileURLWithPath: path + "/identity")
            let whole = try Data(contentsOf: file)
            for index in whole.indices {
                var damaged = whole
                damaged[index] ^= 0x40
                try damaged.write(to: file)
                let error = try #require(throws: DqliteNodeError.self) { try directory.identity() }
                #expect(error.code == .dataDirectory)
                try whole.prefix(index).write(to: file)
                #expect(throws: DqliteNodeError.self) { try directory.identity() }
            }
        }
    }

    @Test func namesWhatCannotBeUsed() throws {
        let error = try #require(throws: DqliteNodeError.self) { try DataDirectory(path: "/proc/nothing/here") }
        #expect(error.code == .dataDirectory)
        #expect(error.message.contains("/proc/nothing/here"))
    }

    @Test func checksumIsCastagnolis() {
        #expect(CRC32C.checksum(Array("123456789".utf8)) == 0xe306_9283)
    }
}

/// Calls `body` with the path of a directory that is removed afterwards.
func withTemporaryDirectory<Result>(_ body: (String) throws -> Result) throws -> Result {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("dqlite-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: url) }
    return try body(url.path)
}

/// Calls `body` with the path of a directory that is removed afterwards.
func withTemporaryDirectoryAsync<Result>(_ body: (String) async throws -> Result) async throws -> Result {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("dqlite-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: url) }
    return try await body(url.path)
}
