import DqliteFraming
import DqliteProtocol
import DqliteWire
import NIOCore

/// Takes apart the data of a snapshot in the C form, as they come: for each database its main file, and the WAL over it.
///
/// Holds nothing but the few numbers that say what comes next; every length is checked against what the message has left.
struct SnapshotContentDecoder {
    enum Piece: Hashable, Sendable {
        /// The file of a database begins, with so many bytes.
        case file(name: String, size: UInt64)
        /// The next bytes of it.
        case bytes(ByteBuffer, offset: UInt64)
        /// A frame of the WAL: this page is another one.
        case page(ByteBuffer, number: UInt64)
        /// The file has ended.
        ///
        /// - Parameter pageCount: How many pages it has, if the WAL says so.
        case fileEnd(pageCount: UInt64?)
        /// There is no other file.
        case end
    }

    private enum State {
        case header
        case database
        case main(offset: UInt64)
        case walHeader
        case frames(left: UInt64)
        case over
    }

    static let pageSize = 4096
    private static let walHeaderSize = 32
    private static let frameHeaderSize = 24
    private static let frameSize = Self.frameHeaderSize + Self.pageSize
    /// Bytes of the longest name, with the NUL that ends it.
    private static let maximumNameSize = 256
    private static let maximumPieceSize = 256 << 10

    private let maximumDatabases: Int
    /// Bytes of the message that are still to come.
    private var left: UInt64
    private var state = State.header
    private var databases: UInt64 = 0
    private var database = SnapshotDatabase()
    /// The two numbers that all frames of the WAL repeat.
    private var salt: UInt64 = 0
    /// Pages of the database after the last frame; zero in the middle of a transaction.
    private var commitSize: UInt64 = 0

    /// - Parameters:
    ///   - size: Bytes of all data.
    ///   - maximumDatabases: A snapshot with more is refused.
    init(size: UInt64, maximumDatabases: Int) {
        self.left = size
        self.maximumDatabases = maximumDatabases
    }

    /// - Returns: nil when more bytes are needed, or after ``Piece/end``.
    mutating func next(_ buffer: inout ByteBuffer) throws(SnapshotError) -> Piece? {
        while true {
            switch self.state {
            case .over: return nil
            case .header:
                guard let bytes = try self.take(16, from: &buffer) else { return nil }
                let header: SnapshotHeader = try Self.read(bytes)
                self.databases = header.databaseCount
                guard self.databases <= UInt64(self.maximumDatabases) else {
                    throw SnapshotError(.limit, "there are more than \(self.maximumDatabases) databases")
                }
                self.state = .database
            case .database where self.databases == 0:
                guard self.left == 0 else {
                    throw SnapshotError(.malformed, "\(self.left) bytes follow the last database of a snapshot")
                }
                self.state = .over
                return .end
            case .database:
                guard try self.readDatabase(&buffer) else { return nil }
                self.state = .main(offset: 0)
                return .file(name: self.database.name, size: self.database.mainSize)
            case .main(let offset) where offset == self.database.mainSize:
                guard self.database.walSize > 0 else { return self.endFile(pageCount: nil) }
                self.state = .walHeader
            case .main(let offset):
                let size = min(
                    UInt64(min(buffer.readableBytes, Self.maximumPieceSize)), self.database.mainSize - offset)
                guard size > 0, let bytes = try self.take(Int(size), from: &buffer) else { return nil }
                self.state = .main(offset: offset + size)
                return .bytes(bytes, offset: offset)
            case .walHeader:
                guard let header = try self.take(Self.walHeaderSize, from: &buffer) else { return nil }
                try self.readWALHeader(header)
                self.state = .frames(left: self.frameCount)
            case .frames(0):
                guard self.frameCount == 0 || self.commitSize > 0 else {
                    throw SnapshotError(
                        .malformed, "the WAL of \"\(self.database.name)\" ends in the middle of a transaction")
                }
                return self.endFile(pageCount: self.frameCount == 0 ? nil : self.commitSize)
            case .frames(let left):
                guard let frame = try self.take(Self.frameSize, from: &buffer) else { return nil }
                self.state = .frames(left: left - 1)
                return try self.page(frame)
            }
        }
    }

    /// The next so many bytes; nil when they are not all there.
    private mutating func take(_ size: Int, from buffer: inout ByteBuffer) throws(SnapshotError) -> ByteBuffer? {
        guard UInt64(size) <= self.left else {
            throw SnapshotError(.malformed, "a snapshot ends \(UInt64(size) - self.left) bytes too early")
        }
        guard let bytes = buffer.readSlice(length: size) else { return nil }
        self.left -= UInt64(size)
        return bytes
    }

    private static func read<Message: DqliteEncodable>(_ bytes: ByteBuffer) throws(SnapshotError) -> Message {
        do throws(WireError) {
            return try bytes.dqliteMessage()
        } catch {
            throw SnapshotError(.malformed, "\(error)")
        }
    }

    private mutating func endFile(pageCount: UInt64?) -> Piece {
        self.databases -= 1
        self.state = .database
        return .fileEnd(pageCount: pageCount)
    }

    // MARK: Databases

    /// - Returns: Whether all of it was there.
    private mutating func readDatabase(_ buffer: inout ByteBuffer) throws(SnapshotError) -> Bool {
        let start = buffer.readableBytesView.prefix(Self.maximumNameSize)
        guard let end = start.firstIndex(of: 0) else {
            guard start.count < Self.maximumNameSize else {
                throw SnapshotError(.malformed, "the name of a database has no end")
            }
            // It may be that nothing comes any more.
            guard UInt64(start.count) < self.left else {
                throw SnapshotError(.malformed, "a snapshot ends in the name of a database")
            }
            return false
        }
        let nameSize = (start.distance(from: start.startIndex, to: end) + 8) / 8 * 8
        guard let bytes = try self.take(nameSize + 16, from: &buffer) else { return false }
        self.database = try Self.read(bytes)
        let (main, wal) = (self.database.mainSize, self.database.walSize)
        guard main <= self.left, wal <= self.left - main else {
            throw SnapshotError(
                .malformed, "\"\(self.database.name)\" has \(main) and \(wal) bytes, of which \(self.left) can come")
        }
        let frames = wal >= UInt64(Self.walHeaderSize) ? wal - UInt64(Self.walHeaderSize) : 1
        guard wal == 0 || frames % UInt64(Self.frameSize) == 0 else {
            throw SnapshotError(.malformed, "no WAL has \(wal) bytes, as that of \"\(self.database.name)\"")
        }
        self.commitSize = 0
        return true
    }

    // MARK: WAL (https://www.sqlite.org/fileformat2.html#walformat)

    private var frameCount: UInt64 {
        self.database.walSize == 0 ? 0 : (self.database.walSize - UInt64(Self.walHeaderSize)) / UInt64(Self.frameSize)
    }

    /// What no page of the database can exceed: each has come, but the one that SQLite leaves out for its locks.
    private var maximumPage: UInt64 { self.database.mainSize / UInt64(Self.pageSize) + self.frameCount + 1 }

    private mutating func readWALHeader(_ header: ByteBuffer) throws(SnapshotError) {
        let start = header.readerIndex
        // The last bit says in which order the checksums were computed, which are not looked at: this is no file.
        guard let magic: UInt32 = header.getInteger(at: start), magic & ~1 == 0x377f_0682,
            let pageSize: UInt32 = header.getInteger(at: start + 8), pageSize == Self.pageSize,
            let salt: UInt64 = header.getInteger(at: start + 16)
        else { throw SnapshotError(.malformed, "the WAL of \"\(self.database.name)\" is none, or has other pages") }
        self.salt = salt
    }

    private mutating func page(_ frame: ByteBuffer) throws(SnapshotError) -> Piece {
        let start = frame.readerIndex
        guard let number: UInt32 = frame.getInteger(at: start),
            let commitSize: UInt32 = frame.getInteger(at: start + 4),
            let salt: UInt64 = frame.getInteger(at: start + 8), salt == self.salt,
            number > 0, number <= self.maximumPage, commitSize <= self.maximumPage,
            let bytes = frame.getSlice(at: start + Self.frameHeaderSize, length: Self.pageSize)
        else {
            throw SnapshotError(.malformed, "the WAL of \"\(self.database.name)\" has a frame that cannot be")
        }
        self.commitSize = UInt64(commitSize)
        return .page(bytes, number: UInt64(number))
    }
}
