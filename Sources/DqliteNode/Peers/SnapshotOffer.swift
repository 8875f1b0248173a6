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
        self.term = Term(begin.term)
        self.size = begin.size
        do throws(Configuration.DecodingError) {
            self.metadata = SnapshotMetadata(
                index: LogIndex(begin.lastIndex), term: Term(begin.lastTerm),
                configuration: try Configuration(decoding: begin.configuration),
                configurationIndex: LogIndex(begin.configurationIndex))
        } catch {
            throw SnapshotError(.malformed, "the configuration of the snapshot cannot be read: \(error)")
        }
        guard self.metadata.index > .zero, self.metadata.index <= IncomingSnapshot.maximumIndex,
            self.metadata.configurationIndex <= self.metadata.index, self.metadata.term <= self.term
        else { throw SnapshotError(.malformed, "the snapshot is of an entry that cannot be") }
    }
}
