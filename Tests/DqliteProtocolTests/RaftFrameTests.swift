import DqliteProtocol
import DqliteWire
import Testing

/// Recorded messages between nodes, and what is inside them.
@Suite struct RaftFrameTests {
    /// Removes 8 bytes of a header that have no meaning and that we do not write.
    static func dropJunk(at offset: Int) -> (inout [UInt8]) -> Void {
        { bytes in
            bytes.removeSubrange(offset..<offset + 8)
            bytes[8] -= 8
        }
    }

    @Test func appendEntriesWithoutEntries() throws {
        try expectRaft(
            "9.44", is: AppendEntries(term: 1, previousIndex: 2, previousTerm: 1, commitIndex: 2, entries: []),
            edits: { $0.replaceSubrange(0x38..<0x40, with: repeatElement(0, count: 8)) })
    }

    @Test func appendEntriesResults() throws {
        for (frame, expected) in [
            ("9.45", AppendEntriesResult(term: 1, rejected: 2, lastIndex: 0)),
            ("9.47", AppendEntriesResult(term: 1, rejected: 0, lastIndex: 2)),
            ("9.55", AppendEntriesResult(term: 1, rejected: 0, lastIndex: 128)),
        ] {
            // Raft 0.15 leaves out the features: 24 bytes of header instead of 32.
            try expectRaft(frame, is: expected) { bytes in
                bytes[8] += 8
                bytes += repeatElement(0, count: 8)
            }
        }
    }

    static let address1 = "127.0.0.1:19010"
    static let address2 = "127.0.0.1:19020"

    @Test func appendEntriesWithConfigurations() throws {
        let bytes = try Fixtures.frame("9.46")
        let first = Array(bytes[0x60..<0x88])
        let second = Array(bytes[0x88..<0xc8])
        try expectRaft(
            "9.46",
            is: AppendEntries(
                term: 1, previousIndex: 0, previousTerm: 0, commitIndex: 2,
                entries: [
                    LogEntry(term: 1, type: .change, data: first), LogEntry(term: 1, type: .change, data: second),
                ]), edits: { $0.replaceSubrange(0x58..<0x60, with: repeatElement(0, count: 8)) })

        let one = RaftServer(serverID: 1, address: Self.address1, role: .voter)
        let two = RaftServer(serverID: 2, address: Self.address2, role: .spare)
        try expectConfiguration(first, is: RaftConfiguration(servers: [one]), junk: 6)
        try expectConfiguration(second, is: RaftConfiguration(servers: [one, two]), junk: 5)
    }

    /// The end of a configuration is padded with what memory held.
    func expectConfiguration(_ bytes: [UInt8], is expected: RaftConfiguration, junk: Int) throws {
        #expect(try RaftConfiguration.decode(dqlite: bytes) == expected)
        let encoded = try expected.dqliteBytes()
        #expect(encoded == bytes.dropLast(junk) + Array(repeating: 0, count: junk))
    }

    @Test func appendEntriesWithFrames() throws {
        let bytes = try Fixtures.frame("9.48")
        let command = Array(bytes[0x50...])
        #expect(command.count == 8248)
        try expectRaft(
            "9.48",
            is: AppendEntries(
                term: 1, previousIndex: 5, previousTerm: 1, commitIndex: 5,
                entries: [LogEntry(term: 1, type: .command, data: command)]),
            edits: { $0.replaceSubrange(0x48..<0x50, with: repeatElement(0, count: 8)) })

        let pages = Array(bytes[0x88...])
        #expect(pages.count == 2 * 4096 && pages.starts(with: Array("SQLite format 3\0".utf8)))
        let frames = FramesCommand(
            name: "test.db", transactionID: 0, truncate: 0, isCommit: true, pageCount: 2, pageSize: 4096,
            pageNumbers: [1, 2], pages: pages)
        #expect(try FramesCommand.decode(dqlite: command) == frames)
        #expect(try frames.dqliteBytes() == command)
    }

    @Test func votes() throws {
        try expectRaft("9.49", is: RequestVote(term: 2, candidateID: 2, lastIndex: 157, lastTerm: 1, flags: 2))
        try expectRaft("9.50", is: RequestVoteResult(term: 2, granted: true, flags: 1))
        try expectRaft("9.51", is: RequestVote(term: 2, candidateID: 2, lastIndex: 157, lastTerm: 1, flags: 0))
        try expectRaft("9.52", is: TimeoutNow(term: 1, lastIndex: 122, lastTerm: 1))
        try expectRaft("9.53", is: RequestVote(term: 2, candidateID: 2, lastIndex: 122, lastTerm: 1, flags: 1))
    }

    /// Old peers leave the flags out.
    @Test func votesWithoutFlags() throws {
        var request = try Fixtures.frame("9.49")
        request[8] = 32
        request.removeLast(8)
        #expect(
            try RequestVote.decode(dqlite: request)
                == RequestVote(term: 2, candidateID: 2, lastIndex: 157, lastTerm: 1, flags: 0))
        var result = try Fixtures.frame("9.50")
        result[8] = 16
        result.removeLast(8)
        #expect(try RequestVoteResult.decode(dqlite: result) == RequestVoteResult(term: 2, granted: true, flags: 0))
    }

    @Test func installSnapshot() throws {
        let bytes = try Fixtures.frame("9.54")
        let configuration = Array(bytes[0x38..<0x60])
        let data = Array(bytes[0x70...])
        #expect(data.count == 531_528)
        // Raft 0.15 sends 8 bytes too many.
        try expectRaft(
            "9.54",
            is: InstallSnapshot(
                term: 1, lastIndex: 128, lastTerm: 1, configurationIndex: 1, configuration: configuration, data: data),
            edits: Self.dropJunk(at: 0x68))
        try expectConfiguration(
            configuration,
            is: RaftConfiguration(servers: [RaftServer(serverID: 1, address: Self.address1, role: .voter)]), junk: 6)

        let header = SnapshotHeader(databaseCount: 1)
        #expect(try SnapshotHeader.decode(dqlite: Array(data[..<16])) == header)
        #expect(try header.dqliteBytes() == Array(data[..<16]))
        let database = SnapshotDatabase(name: "test.db", mainSize: 4096, walSize: 527_392)
        #expect(try SnapshotDatabase.decode(dqlite: Array(data[16..<40])) == database)
        #expect(try database.dqliteBytes() == Array(data[16..<40]))
        #expect(data.count == 40 + 4096 + 527_392)
    }

    /// The configuration in a file that describes a snapshot.
    @Test func snapshotMetadata() throws {
        let file = Fixtures.bytes(
            hex: """
                01 00 00 00 00 00 00 00  ad fd 68 96 00 00 00 00  05 00 00 00 00 00 00 00  58 00 00 00 00 00 00 00
                01 03 00 00 00 00 00 00  00 01 00 00 00 00 00 00  00 31 32 37 2e 30 2e 30  2e 31 3a 31 39 30 31 30
                00 01 02 00 00 00 00 00  00 00 31 32 37 2e 30 2e  30 2e 31 3a 31 39 30 32  30 00 01 03 00 00 00 00
                00 00 00 31 32 37 2e 30  2e 30 2e 31 3a 31 39 30  33 30 00 00 00 00 00 00
                """)
        #expect(file.count == 120)
        try expectConfiguration(
            Array(file[32...]),
            is: RaftConfiguration(servers: [
                RaftServer(serverID: 1, address: Self.address1, role: .voter),
                RaftServer(serverID: 2, address: Self.address2, role: .voter),
                RaftServer(serverID: 3, address: "127.0.0.1:19030", role: .standby),
            ]), junk: 5)
    }

    /// The command at the beginning of a segment of C raft's log.
    @Test func segment() throws {
        let file = Fixtures.bytes(
            hex: """
                01 02 00 00 00 00 00 00  74 65 73 74 2e 64 62 00  00 00 00 00 00 00 00 00  00 00 00 00 01 00 00 00
                01 00 00 00 00 10 00 00  0a 00 00 00 00 00 00 00
                """)
        let page = (0..<4096).map { UInt8(truncatingIfNeeded: $0) }
        let frames = FramesCommand(
            name: "test.db", transactionID: 0, truncate: 0, isCommit: true, pageCount: 1, pageSize: 4096,
            pageNumbers: [10], pages: page)
        #expect(try FramesCommand.decode(dqlite: file + page) == frames)
        #expect(try frames.dqliteBytes() == file + page)
        #expect(file.count + page.count == 0x1030)
    }
}
