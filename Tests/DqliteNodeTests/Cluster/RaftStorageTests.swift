import DqliteLog
import DqliteRaft
import Foundation
import Testing

@testable import DqliteNode

/// Writes of Raft on their way into the log.
@Suite struct RaftStorageTests {
    private let path: String
    private let files: HeldFiles
    private let log: Log

    init() throws {
        self.path = FileManager.default.temporaryDirectory.appending(path: "storage-\(UUID())").path
        self.files = try HeldFiles(self.path)
        var configuration = LogConfiguration()
        configuration.segmentSize = 64 << 10
        self.log = try Log(fileSystem: self.files, configuration: configuration)
        try self.log.save(HardState(term: Term(1)))
    }

    private func end() {
        self.files.set(.open)
        self.log.close()
        try? FileManager.default.removeItem(atPath: self.path)
    }

    private static func entries(_ range: ClosedRange<UInt64>, size: Int = 16, term: UInt64 = 1) -> [Entry] {
        range.map {
            Entry(index: LogIndex($0), term: Term(term), kind: .command, data: [UInt8](repeating: 7, count: size))
        }
    }

    /// Fills the log until it takes nothing more.
    private func fill(_ storage: inout RaftStorage, from index: UInt64) throws -> LogIndex {
        var next = index
        var number: UInt64 = 100
        while !storage.isStalled {
            number += 1
            let write = StorageWrite(
                number: number, hardState: nil, truncateFrom: nil, entries: Self.entries(next...next, size: 20_000))
            _ = try storage.perform(write, mayWait: true)
            next += 1
        }
        return LogIndex(next - 2)
    }

    /// What waits to be cut off is not vouched for, though it is durable: a checkpoint must not write it into a file.
    @Test func `The log does not vouch for what is to be cut off, while there is no room to write that down`() throws {
        defer { self.end() }
        var storage = RaftStorage(log: self.log)
        #expect(storage.durableLimit.index == DurableLimit.none)
        try self.log.appendAndWait(Self.entries(1...9))
        self.files.set(.full)
        let last = try self.fill(&storage, from: 10)
        #expect(storage.durableLimit.index == DurableLimit.none)
        // Another leader's entries take the place of those from 5 on; they come after a write that found no room.
        let write = StorageWrite(
            number: 900, hardState: HardState(term: Term(2)), truncateFrom: LogIndex(5),
            entries: Self.entries(5...6, term: 2))
        #expect(try storage.perform(write, mayWait: true) == nil)
        #expect(storage.durableLimit.index == LogIndex(4))
        #expect(self.log.lastIndex == last)
        // There is room again: all of it happens in order.
        self.files.set(.open)
        while storage.isStalled { _ = try storage.proceed() }
        #expect(storage.durableLimit.index == DurableLimit.none)
        #expect(self.log.lastIndex == LogIndex(6))
        #expect(self.log.term(of: LogIndex(5)) == Term(2))
    }

    @Test func `A write for which nobody may wait is left for later, and those after it as well`() throws {
        defer { self.end() }
        var storage = RaftStorage(log: self.log)
        let vote = StorageWrite(number: 1, hardState: HardState(term: Term(2)), truncateFrom: nil, entries: [])
        #expect(try storage.perform(vote, mayWait: false) == nil)
        #expect(self.log.hardState.term == Term(1))
        let entries = StorageWrite(
            number: 2, hardState: nil, truncateFrom: nil, entries: Self.entries(1...1, term: 2))
        #expect(try storage.perform(entries, mayWait: false) == nil)
        #expect(self.log.lastIndex == .zero)
        #expect(try storage.proceed() == 1)
        #expect(self.log.hardState.term == Term(2) && self.log.lastIndex == LogIndex(1))
        #expect(storage.done(2) == 2)
    }
}
