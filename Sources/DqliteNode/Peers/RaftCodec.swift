import DqliteFraming
import DqliteProtocol
import DqliteRaft
import DqliteWire
import NIOCore

/// What a frame of a stream between nodes says.
enum PeerMessage: Sendable {
    case raft(DqliteRaft.Message)
    case readIndex(ReadIndexMessage)
    case part(MessagePart)
    /// The round of the next message.
    case round(UInt64)
}

/// Messages of Raft as frames: the number of the message, the length of its header, the header, and a payload.
enum RaftCodec {
    private enum Code {
        static let appendEntries: UInt64 = 1
        static let appendEntriesResult: UInt64 = 2
        static let requestVote: UInt64 = 3
        static let requestVoteResult: UInt64 = 4
        static let installSnapshot: UInt64 = 5
        static let timeoutNow: UInt64 = 6
        static let messagePart: UInt64 = 32
        static let readIndexRequest: UInt64 = 33
        static let readIndexResult: UInt64 = 34
        static let roundMark: UInt64 = 35
        static let snapshotBegin: UInt64 = 64
    }

    /// As in C nodes.
    static let maximumHeaderSize: UInt64 = 4 << 20

    private static let disruptLeader: UInt64 = 1
    private static let preVote: UInt64 = 2
    private static let preVoteResult: UInt64 = 1

    // MARK: Writing

    /// The frames of a message: its round, if it is told, and the message.
    static func frames(
        of message: DqliteRaft.Message, form: PeerForm, allocator: ByteBufferAllocator
    ) -> [ByteBuffer] {
        guard let frame = Self.frame(message, allocator: allocator) else { return [] }
        guard let mark = Self.roundMark(of: message, form: form, allocator: allocator) else { return [frame] }
        return [mark, frame]
    }

    /// The frame of the round that a message belongs to, which goes before it; nil: of none, or the form has no rounds.
    static func roundMark(
        of message: DqliteRaft.Message, form: PeerForm, allocator: ByteBufferAllocator
    ) -> ByteBuffer? {
        guard form == .native else { return nil }
        let round: UInt64
        switch message {
        case .appendEntries(let append): round = append.round
        case .appendEntriesResult(let result): round = result.round
        default: return nil
        }
        return round == 0 ? nil : Self.frame(RoundMark(round: round), allocator)
    }

    /// The frame of a message, without its round, the same in both forms; nil: it has none, since a snapshot travels on a
    /// connection of its own.
    static func frame(_ message: DqliteRaft.Message, allocator: ByteBufferAllocator) -> ByteBuffer? {
        switch message {
        case .requestVote(let vote):
            let flags = (vote.disruptLeader ? Self.disruptLeader : 0) | (vote.preVote ? Self.preVote : 0)
            return Self.frame(
                DqliteProtocol.RequestVote(
                    term: vote.term.rawValue, candidateID: vote.candidate.rawValue,
                    lastIndex: vote.lastLogIndex.rawValue, lastTerm: vote.lastLogTerm.rawValue, flags: flags),
                allocator)
        case .requestVoteResult(let result):
            return Self.frame(
                DqliteProtocol.RequestVoteResult(
                    term: result.term.rawValue, granted: result.granted,
                    flags: result.preVote ? Self.preVoteResult : 0), allocator)
        case .appendEntries(let append):
            let entries = append.entries.map { entry in
                LogEntry(
                    term: entry.term.rawValue, type: EntryType(rawValue: UInt32(entry.kind.rawValue)), data: entry.data)
            }
            return Self.frame(
                DqliteProtocol.AppendEntries(
                    term: append.term.rawValue, previousIndex: append.previousIndex.rawValue,
                    previousTerm: append.previousTerm.rawValue, commitIndex: append.leaderCommit.rawValue,
                    entries: entries), allocator)
        case .appendEntriesResult(let result):
            return Self.frame(
                DqliteProtocol.AppendEntriesResult(
                    term: result.term.rawValue, rejected: result.rejected.rawValue,
                    lastIndex: result.lastLogIndex.rawValue), allocator)
        case .timeoutNow(let timeout):
            return Self.frame(
                DqliteProtocol.TimeoutNow(
                    term: timeout.term.rawValue, lastIndex: timeout.lastLogIndex.rawValue,
                    lastTerm: timeout.lastLogTerm.rawValue), allocator)
        case .installSnapshot: return nil
        }
    }

    static func frame(_ message: ReadIndexMessage, allocator: ByteBufferAllocator) -> ByteBuffer? {
        switch message {
        case .request(let context): Self.frame(ReadIndexRequest(context: context), allocator)
        case .result(let context, let index):
            Self.frame(ReadIndexResult(context: context, index: index?.rawValue ?? 0), allocator)
        }
    }

    /// Cuts a frame into frames of parts.
    static func parts(of frame: ByteBuffer, size: Int, allocator: ByteBufferAllocator) -> [ByteBuffer] {
        var rest = frame
        var parts: [ByteBuffer] = []
        while rest.readableBytes > 0, let piece = rest.readBytes(length: min(size, rest.readableBytes)) {
            let part = MessagePart(messageSize: UInt64(frame.readableBytes), data: piece)
            if let buffer = Self.frame(part, allocator) { parts.append(buffer) }
        }
        return parts
    }

    private static func frame(_ message: some DqliteEncodable, _ allocator: ByteBufferAllocator) -> ByteBuffer? {
        guard let size = try? message.dqliteEncodedSize(revision: 0) else { return nil }
        var buffer = allocator.buffer(capacity: size)
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { memory in
            var writer = WordWriter(memory)
            message.encodeDqlite(into: &writer, revision: 0)
            return writer.count
        }
        return buffer
    }

    // MARK: Reading

    /// Whether a stream begins to bring a copy of all databases.
    static func beginsSnapshot(_ buffer: ByteBuffer, form: PeerForm) -> Bool {
        guard let code: UInt64 = buffer.getInteger(at: buffer.readerIndex, endianness: .little) else { return false }
        return switch form {
        case .native: code == Code.snapshotBegin
        case .c: code & 0xffff == Code.installSnapshot
        }
    }

    /// The size of the frame that begins a buffer, as far as it can be told.
    ///
    /// - Returns: nil when more bytes are needed to tell.
    /// - Throws: It is none, or longer than allowed.
    static func size(of buffer: ByteBuffer, maximumSize: Int) throws(WireError) -> Int? {
        let start = buffer.readerIndex
        guard let code: UInt64 = buffer.getInteger(at: start, endianness: .little),
            let length: UInt64 = buffer.getInteger(at: start + 8, endianness: .little)
        else { return nil }
        guard length > 0, length <= Self.maximumHeaderSize else { throw Self.error(.impossibleLength) }
        let header = Int(length)
        guard buffer.readableBytes >= 16 + header else { return nil }
        func word(_ offset: Int) throws(WireError) -> UInt64 {
            guard offset + 8 <= header,
                let word: UInt64 = buffer.getInteger(at: start + 16 + offset, endianness: .little)
            else { throw Self.error(.impossibleLength) }
            return word
        }
        var payload: UInt64 = 0
        switch code & 0xffff {
        case Code.appendEntries:
            let count = try word(32)
            guard count <= UInt64((header - 40) / 16) else { throw Self.error(.impossibleLength) }
            for place in 0..<Int(count) { payload += try word(48 + 16 * place) >> 32 }
        case Code.messagePart: payload = try word(8)
        case Code.installSnapshot: throw Self.error(.invalidValue)
        default: break
        }
        guard payload <= UInt64(maximumSize) else { throw Self.error(.impossibleLength) }
        return 16 + header + Int(payload)
    }

    static func error(_ reason: WireError.Reason) -> WireError {
        WordReader(UnsafeRawBufferPointer(start: nil, count: 0), message: "RaftMessage").error(reason)
    }

    /// The message of a whole frame.
    static func message(_ frame: ByteBuffer, form: PeerForm) throws(WireError) -> PeerMessage {
        guard let code: UInt64 = frame.getInteger(at: frame.readerIndex, endianness: .little) else {
            throw Self.error(.impossibleLength)
        }
        switch code & 0xffff {
        case Code.appendEntries:
            let append: DqliteProtocol.AppendEntries = try frame.dqliteMessage()
            guard append.previousIndex <= UInt64(Int64.max) - UInt64(append.entries.count) else {
                throw Self.error(.invalidValue)
            }
            var index = LogIndex(append.previousIndex)
            let entries = append.entries.map { entry in
                index = index.next
                return Entry(
                    index: index, term: Term(entry.term),
                    kind: .init(rawValue: UInt8(truncatingIfNeeded: entry.type.rawValue)), data: entry.data)
            }
            guard entries.allSatisfy({ (1...3).contains($0.kind.rawValue) }) else { throw Self.error(.invalidValue) }
            return .raft(
                .appendEntries(
                    DqliteRaft.AppendEntries(
                        term: Term(append.term), previousIndex: LogIndex(append.previousIndex),
                        previousTerm: Term(append.previousTerm), leaderCommit: LogIndex(append.commitIndex),
                        entries: entries)))
        case Code.appendEntriesResult:
            let result: DqliteProtocol.AppendEntriesResult = try frame.dqliteMessage()
            return .raft(
                .appendEntriesResult(
                    DqliteRaft.AppendEntriesResult(
                        term: Term(result.term), rejected: LogIndex(result.rejected),
                        lastLogIndex: LogIndex(result.lastIndex))))
        case Code.requestVote:
            let vote: DqliteProtocol.RequestVote = try frame.dqliteMessage()
            return .raft(
                .requestVote(
                    DqliteRaft.RequestVote(
                        term: Term(vote.term), candidate: NodeID(vote.candidateID),
                        lastLogIndex: LogIndex(vote.lastIndex), lastLogTerm: Term(vote.lastTerm),
                        disruptLeader: vote.flags & Self.disruptLeader != 0, preVote: vote.flags & Self.preVote != 0)))
        case Code.requestVoteResult:
            let result: DqliteProtocol.RequestVoteResult = try frame.dqliteMessage()
            return .raft(
                .requestVoteResult(
                    DqliteRaft.RequestVoteResult(
                        term: Term(result.term), granted: result.granted,
                        preVote: result.flags & Self.preVoteResult != 0)))
        case Code.timeoutNow:
            let timeout: DqliteProtocol.TimeoutNow = try frame.dqliteMessage()
            return .raft(
                .timeoutNow(
                    DqliteRaft.TimeoutNow(
                        term: Term(timeout.term), lastLogIndex: LogIndex(timeout.lastIndex),
                        lastLogTerm: Term(timeout.lastTerm))))
        case Code.roundMark where form == .native:
            let mark: RoundMark = try frame.dqliteMessage()
            return .round(mark.round)
        case Code.messagePart where form == .native: return .part(try frame.dqliteMessage())
        case Code.readIndexRequest where form == .native:
            let request: ReadIndexRequest = try frame.dqliteMessage()
            return .readIndex(.request(context: request.context))
        case Code.readIndexResult where form == .native:
            let result: ReadIndexResult = try frame.dqliteMessage()
            let index = result.index == 0 ? nil : LogIndex(result.index)
            return .readIndex(.result(context: result.context, index: index))
        default: throw Self.error(.invalidValue)
        }
    }
}
