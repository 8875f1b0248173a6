import DqliteRaft
import NIOCore
import Testing

@testable import DqliteNode

/// Messages of Raft as they are in both forms, beside those that C nodes have sent.
@Suite struct RaftCodecTests {
    private static let first = Configuration.Server(id: NodeID(1), address: "127.0.0.1:19010", role: .voter)
    private static let second = Configuration.Server(id: NodeID(2), address: "127.0.0.1:19020", role: .spare)

    /// Puts zeros where the sender wrote what its memory held.
    private static func zeros(_ places: Range<Int>...) -> (inout [UInt8]) -> Void {
        { bytes in for place in places { bytes.replaceSubrange(place, with: repeatElement(0, count: place.count)) } }
    }

    /// Raft 0.15 leaves out the features: 24 bytes of header instead of 32.
    private static func addFeatures(_ bytes: inout [UInt8]) {
        bytes[8] += 8
        bytes += repeatElement(0, count: 8)
    }

    /// That a message is a recorded frame, in which `edits` have undone what the sender wrote without a meaning.
    private func expect(_ frame: String, is message: Message, edits: (inout [UInt8]) -> Void = { _ in }) throws {
        let recorded = try RecordedFrames.frame(frame)
        guard case .raft(let read) = try RaftCodec.message(ByteBuffer(bytes: recorded), form: .c) else {
            throw SnapshotError(.malformed, "no message of Raft")
        }
        var expected = recorded
        edits(&expected)
        let frames = RaftCodec.frames(of: message, form: .c, allocator: ByteBufferAllocator())
        #expect(frames == [ByteBuffer(bytes: expected)], "\(frame)")
        #expect(try RaftCodec.size(of: ByteBuffer(bytes: recorded), maximumSize: 1 << 20) == recorded.count)
        // Padding is what it was: it is compared by what is written of it.
        #expect(RaftCodec.frames(of: read, form: .c, allocator: ByteBufferAllocator()).count == 1)
        if expected == recorded { #expect(read == message) }
    }

    @Test("votes and TimeoutNow are C's to the byte")
    func votes() throws {
        func vote(_ index: UInt64, disrupts: Bool = false, isPreVote: Bool = false) -> Message {
            .requestVote(
                RequestVote(
                    term: Term(2), candidate: NodeID(2), lastLogIndex: LogIndex(index), lastLogTerm: Term(1),
                    disruptLeader: disrupts, preVote: isPreVote))
        }
        try self.expect("9.49", is: vote(157, isPreVote: true))
        try self.expect("9.50", is: .requestVoteResult(RequestVoteResult(term: Term(2), granted: true, preVote: true)))
        try self.expect("9.51", is: vote(157))
        try self.expect(
            "9.52", is: .timeoutNow(TimeoutNow(term: Term(1), lastLogIndex: LogIndex(122), lastLogTerm: Term(1))))
        try self.expect("9.53", is: vote(122, disrupts: true))
    }

    @Test("AppendEntries with and without entries, and its answers, are C's to the byte")
    func appendEntries() throws {
        func append(_ previous: UInt64, _ term: UInt64, commit: UInt64, _ entries: [Entry] = []) -> Message {
            .appendEntries(
                AppendEntries(
                    term: Term(1), previousIndex: LogIndex(previous), previousTerm: Term(term),
                    leaderCommit: LogIndex(commit), entries: entries))
        }
        try self.expect("9.44", is: append(2, 1, commit: 2), edits: Self.zeros(0x38..<0x40))
        let configurations = [[Self.first], [Self.first, Self.second]].enumerated().map { place, servers in
            Entry(
                index: LogIndex(UInt64(place) + 1), term: Term(1), kind: .configuration,
                data: Configuration(servers: servers).encoded())
        }
        try self.expect(
            "9.46", is: append(0, 0, commit: 2, configurations),
            edits: Self.zeros(0x58..<0x60, 0x82..<0x88, 0xc3..<0xc8))
        let command = Array(try RecordedFrames.frame("9.48")[0x50...])
        try self.expect(
            "9.48", is: append(5, 1, commit: 5, [Entry(index: LogIndex(6), term: Term(1), data: command)]),
            edits: Self.zeros(0x48..<0x50))
        for (frame, rejected, last) in [("9.45", 2, 0), ("9.47", 0, 2), ("9.55", 0, 128)] as [(String, UInt64, UInt64)]
        {
            let result = AppendEntriesResult(
                term: Term(1), rejected: LogIndex(rejected), lastLogIndex: LogIndex(last))
            try self.expect(frame, is: .appendEntriesResult(result), edits: Self.addFeatures)
        }
    }

    @Test("rounds are told to nodes of ours only, and what only those know is refused from others")
    func rounds() throws {
        let allocator = ByteBufferAllocator()
        let result = Message.appendEntriesResult(
            AppendEntriesResult(term: Term(1), lastLogIndex: LogIndex(2), round: 7))
        let native = RaftCodec.frames(of: result, form: .native, allocator: allocator)
        #expect(native.count == 2)
        #expect(RaftCodec.frames(of: result, form: .c, allocator: allocator) == [native[1]])
        let question = try #require(RaftCodec.frame(ReadIndexMessage.request(context: 3), allocator: allocator))
        for frame in [native[0], question] + RaftCodec.parts(of: native[1], size: 16, allocator: allocator) {
            _ = try RaftCodec.message(frame, form: .native)
            #expect(throws: (any Error).self) { try RaftCodec.message(frame, form: .c) }
        }
    }

    @Test("a snapshot begins with another message in each form")
    func beginnings() throws {
        let recorded = ByteBuffer(bytes: try RecordedFrames.frame("9.54"))
        #expect(RaftCodec.beginsSnapshot(recorded, form: .c))
        #expect(!RaftCodec.beginsSnapshot(recorded, form: .native))
        #expect(!RaftCodec.beginsSnapshot(recorded.getSlice(at: 0, length: 7)!, form: .c))
        #expect(throws: (any Error).self) { try RaftCodec.size(of: recorded, maximumSize: 1 << 30) }
        let begin = ByteBuffer(integer: UInt64(64), endianness: .little)
        #expect(RaftCodec.beginsSnapshot(begin, form: .native))
        #expect(!RaftCodec.beginsSnapshot(begin, form: .c))
    }
}
