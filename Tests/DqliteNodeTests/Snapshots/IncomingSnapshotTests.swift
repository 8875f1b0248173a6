import DqliteRaft
import Foundation
import Testing

@testable import DqliteNode

/// What a sender may not make a node write.
@Suite struct IncomingSnapshotTests {
    private let metadata = SnapshotContent.metadata(at: LogIndex(9), term: Term(2))

    private func withSnapshot(_ body: (IncomingSnapshot, DataDirectory) throws -> Void) throws {
        let follower = try SnapshotFollower()
        #expect(try follower.open() == nil)
        let directory = try #require(follower.directory)
        try body(try IncomingSnapshot(in: directory, metadata: self.metadata, maximumDatabases: 2), directory)
        #expect(!FileManager.default.fileExists(atPath: directory.incoming))
        #expect(!FileManager.default.fileExists(atPath: directory.installing))
    }

    private func code(_ body: () throws -> Void) -> SnapshotError.Code? {
        #expect(throws: SnapshotError.self, performing: body)?.code
    }

    @Test(
        "names that are not plain names of files",
        arguments: ["", ".", "..", "../identity", "a/b", "/etc/passwd", "a-wal", "a-shm", ":memory:", "a\0b"])
    func names(name: String) throws {
        try self.withSnapshot { snapshot, _ in
            #expect(self.code { try snapshot.beginFile(name, size: 1) } == .malformed)
        }
    }

    @Test("bytes that do not follow those before, or exceed the file")
    func offsets() throws {
        for (offset, count) in [(1, 1), (0, 11), (UInt64.max, 1), (UInt64(Int.max), 8)] as [(UInt64, Int)] {
            try self.withSnapshot { snapshot, _ in
                try snapshot.beginFile("a", size: 10)
                #expect(self.code { try snapshot.write([UInt8](repeating: 1, count: count), at: offset) } == .malformed)
            }
        }
        try self.withSnapshot { snapshot, _ in
            #expect(self.code { try snapshot.beginFile("a", size: .max) } == .malformed)
        }
    }

    @Test("pages come after their file, and may be behind it")
    func pages() throws {
        let page = [UInt8](repeating: 7, count: 4096)
        func write(_ snapshot: IncomingSnapshot, _ number: UInt64) throws {
            try page.withUnsafeBytes { try snapshot.write($0, page: number) }
        }
        try self.withSnapshot { snapshot, directory in
            #expect(self.code { try write(snapshot, 1) } == .malformed)
            #expect(self.code { try snapshot.resizeFile(to: 1) } == .malformed)
            try snapshot.beginFile("a", size: 4096)
            #expect(self.code { try write(snapshot, 1) } == .malformed)
            #expect(self.code { try snapshot.resizeFile(to: 1) } == .malformed)
            try snapshot.write([UInt8](repeating: 1, count: 4096), at: 0)
            for number in [0, 1 << 32, .max] as [UInt64] {
                #expect(self.code { try write(snapshot, number) } == .malformed)
            }
            #expect(self.code { try snapshot.resizeFile(to: .max) } == .malformed)
            try write(snapshot, 3)
            try write(snapshot, 2)
            try snapshot.resizeFile(to: 8192)
            let path = directory.incoming + "/databases/a"
            let expected = Data([UInt8](repeating: 1, count: 4096) + page)
            #expect(FileManager.default.contents(atPath: path) == expected)
        }
    }

    @Test("messages out of order, a database twice, and too many of them")
    func order() throws {
        try self.withSnapshot { snapshot, _ in
            #expect(self.code { try snapshot.write([1], at: 0) } == .malformed)
            #expect(self.code { try snapshot.endFile(intent: .zero) } == .malformed)
            try snapshot.beginFile("a", size: 10)
            #expect(self.code { try snapshot.beginFile("b", size: 10) } == .malformed)
            #expect(self.code { _ = try snapshot.finish(newestIntent: LogIndex(9)) } == .malformed)
            try snapshot.endFile(intent: LogIndex(10))
            #expect(self.code { try snapshot.beginFile("a", size: 10) } == .malformed)
            // The end says what the files say.
            #expect(self.code { _ = try snapshot.finish(newestIntent: LogIndex(9)) } == .malformed)
        }
        try self.withSnapshot { snapshot, _ in
            for name in ["a", "b"] {
                try snapshot.beginFile(name, size: 0)
                try snapshot.endFile(intent: .zero)
            }
            #expect(self.code { try snapshot.beginFile("c", size: 0) } == .limit)
        }
    }

    @Test("one snapshot at a time")
    func oneAtATime() throws {
        let follower = try SnapshotFollower()
        #expect(try follower.open() == nil)
        let directory = try #require(follower.directory)
        func begin() throws -> IncomingSnapshot {
            try IncomingSnapshot(in: directory, metadata: self.metadata, maximumDatabases: 2)
        }
        let first = try begin()
        #expect(self.code { _ = try begin() } == .refused)
        first.discard()
        #expect(self.code { try first.beginFile("a", size: 1) } == .cancelled)
        let second = try begin()
        _ = try second.finish(newestIntent: LogIndex(9))
        #expect(self.code { _ = try begin() } == .refused)
        #expect(!FileManager.default.fileExists(atPath: directory.incoming))
        #expect(try SnapshotInstallation.find(in: directory)?.metadata == self.metadata)
    }

    @Test("what was received in part is removed at the next start")
    func leftovers() throws {
        let follower = try SnapshotFollower()
        #expect(try follower.open() == nil)
        let path = try #require(follower.directory).incoming
        try FileManager.default.createDirectory(atPath: path + "/databases", withIntermediateDirectories: true)
        try Data([1]).write(to: URL(filePath: path + "/databases/a"))
        follower.stop()
        #expect(try follower.open() == nil)
        #expect(!FileManager.default.fileExists(atPath: path))
    }
}
