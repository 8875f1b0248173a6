import DqliteProtocol
import DqliteRaft

/// A snapshot that a leader wants to send.
struct SnapshotOffer: Hashable, Sendable {
    /// The leader's term.
    var term: Term
    var metadata: SnapshotMetadata
    /// Bytes of all files when the copy began.
    var size: UInt64

    init(_ begin: SnapshotBegin) throws(SnapshotError) {
        try self.init(
            term: begin.term, size: begin.size, index: begin.lastIndex, indexTerm: begin.lastTerm,
            configuration: begin.configuration, configurationIndex: begin.configurationIndex)
    }

    init(_ head: InstallSnapshotHead) throws(SnapshotError) {
        let message = head.message
        try self.init(
            term: message.term, size: head.dataSize, index: message.lastIndex, indexTerm: message.lastTerm,
            configuration: message.configuration, configurationIndex: message.configurationIndex)
    }

    private init(
        term: UInt64, size: UInt64, index: UInt64, indexTerm: UInt64, configuration: [UInt8],
        configurationIndex: UInt64
    ) throws(SnapshotError) {
        self.term = Term(term)
        self.size = size
        do throws(Configuration.DecodingError) {
            self.metadata = SnapshotMetadata(
                index: LogIndex(index), term: Term(indexTerm),
                configuration: try Configuration(decoding: configuration),
                configurationIndex: LogIndex(configurationIndex))
        } catch {
            throw SnapshotError(.malformed, "the configuration of the snapshot cannot be read: \(error)")
        }
        guard self.metadata.index > .zero, self.metadata.index <= IncomingSnapshot.maximumIndex,
            self.metadata.configurationIndex <= self.metadata.index, self.metadata.term <= self.term
        else { throw SnapshotError(.malformed, "the snapshot is of an entry that cannot be") }
    }
}
