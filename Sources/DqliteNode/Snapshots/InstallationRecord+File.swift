import DqliteFraming
import DqliteProtocol
import DqliteRaft
import DqliteWire
import NIOCore

extension InstallationRecord {
    /// A record of what was received.
    init(
        _ metadata: SnapshotMetadata, newestIntent: LogIndex, databases: [SnapshotInstallation.Database]
    ) {
        self.init(
            lastIndex: metadata.index.rawValue, lastTerm: metadata.term.rawValue, newestIntent: newestIntent.rawValue,
            configurationIndex: metadata.configurationIndex.rawValue, configuration: metadata.configuration.encoded(),
            databases: databases.map { ReceivedDatabase(name: $0.name, intent: $0.intent.rawValue) })
    }

    /// What the record stands for.
    func metadata() throws(Configuration.DecodingError) -> SnapshotMetadata {
        SnapshotMetadata(
            index: LogIndex(self.lastIndex), term: Term(self.lastTerm),
            configuration: try Configuration(decoding: self.configuration),
            configurationIndex: LogIndex(self.configurationIndex))
    }

    /// As it is in its file, with its checksum.
    func sealedBytes() throws(WireEncodingError) -> [UInt8] {
        var record = self
        record.checksum = 0
        record.checksum = CRC32C.checksum(try record.dqliteBytes())
        return try record.dqliteBytes()
    }

    /// - Throws: Why the bytes are no record.
    init(sealed bytes: [UInt8]) throws(WireError) {
        self = try ByteBuffer(bytes: bytes).dqliteMessage()
        // It lies in bytes 12 to 15, and counts as zero.
        var unsealed = bytes
        unsealed.replaceSubrange(12..<16, with: [0, 0, 0, 0])
        guard self.checksum == CRC32C.checksum(unsealed) else {
            throw WireError(.invalidValue, offset: 12, message: "InstallationRecord")
        }
    }
}
