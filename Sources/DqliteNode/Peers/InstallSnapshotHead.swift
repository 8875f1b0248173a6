import DqliteFraming
import DqliteProtocol
import DqliteRaft
import DqliteWire
import NIOCore

/// What begins a snapshot that travels as one message, in the C form: `InstallSnapshot` without its data, which follow piece by
/// piece.
struct InstallSnapshotHead: Hashable, Sendable {
    var message: DqliteProtocol.InstallSnapshot
    /// Bytes of data that follow.
    var dataSize: UInt64

    /// Of a snapshot that a leader of that term sends.
    init(_ metadata: SnapshotMetadata, term: Term, dataSize: UInt64) {
        self.message = DqliteProtocol.InstallSnapshot(
            term: term.rawValue, lastIndex: metadata.index.rawValue, lastTerm: metadata.term.rawValue,
            configurationIndex: metadata.configurationIndex.rawValue, configuration: metadata.configuration.encoded())
        self.dataSize = dataSize
    }

    /// Takes it from the beginning of a buffer.
    ///
    /// - Returns: nil when more bytes are needed.
    init?(from buffer: inout ByteBuffer) throws(SnapshotError) {
        let start = buffer.readerIndex
        func word(_ offset: Int) -> UInt64? { buffer.getInteger(at: start + offset, endianness: .little) }
        guard let size = word(8) else { return nil }
        guard size >= 48, size <= RaftCodec.maximumHeaderSize else {
            throw SnapshotError(.malformed, "a snapshot has a header of \(size) bytes")
        }
        guard buffer.readableBytes >= 16 + Int(size), let configurationSize = word(48) else { return nil }
        guard configurationSize <= size - 48 else {
            throw SnapshotError(.malformed, "a configuration of \(configurationSize) bytes is in a header of \(size)")
        }
        let place = 56 + Int(configurationSize)
        guard let dataSize = word(place), var head = buffer.readSlice(length: 16 + Int(size)) else { return nil }
        self.dataSize = dataSize
        // The data are not here: without them it is a message as any other.
        head.setInteger(UInt64(0), at: head.readerIndex + place, endianness: .little)
        do throws(WireError) {
            self.message = try head.dqliteMessage()
        } catch {
            throw SnapshotError(.malformed, "\(error)")
        }
    }

    /// As it goes before the data.
    func write(to buffer: inout ByteBuffer) throws(WireEncodingError) {
        buffer.writeBytes(try self.message.dqliteBytes())
        buffer.setInteger(self.dataSize, at: buffer.writerIndex - 8, endianness: .little)
    }
}
