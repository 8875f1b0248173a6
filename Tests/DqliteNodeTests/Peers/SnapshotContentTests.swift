import DqliteProtocol
import DqliteRaft
import DqliteWire
import NIOCore
import TestSupport
import Testing

@testable import DqliteNode

/// A snapshot in one message, taken apart.
@Suite struct SnapshotContentTests {
    private typealias Piece = SnapshotContentDecoder.Piece

    /// Everything that is in some data, with bytes that follow each other put together.
    private static func decode(
        _ data: ByteBuffer, size: UInt64? = nil, maximumDatabases: Int = 16, pieceSize: Int = .max
    ) throws -> [Piece] {
        var decoder = SnapshotContentDecoder(
            size: size ?? UInt64(data.readableBytes), maximumDatabases: maximumDatabases)
        var buffer = ByteBuffer()
        var pieces: [Piece] = []
        for part in data.pieces(of: pieceSize) {
            buffer.writeImmutableBuffer(part)
            while let piece = try decoder.next(&buffer) {
                if case .bytes(let more, let offset) = piece, case .bytes(var bytes, let start)? = pieces.last {
                    #expect(offset == start + UInt64(bytes.readableBytes))
                    bytes.writeImmutableBuffer(more)
                    pieces[pieces.count - 1] = .bytes(bytes, offset: start)
                } else {
                    pieces.append(piece)
                }
            }
        }
        return pieces
    }

    private static func data(_ databases: [(SnapshotDatabase, [UInt8])], count: UInt64? = nil) throws -> ByteBuffer {
        var buffer = ByteBuffer(
            bytes: try SnapshotHeader(databaseCount: count ?? UInt64(databases.count)).dqliteBytes())
        for (database, bytes) in databases {
            buffer.writeBytes(try database.dqliteBytes())
            buffer.writeBytes(bytes)
        }
        return buffer
    }

    private static func wal(
        magic: UInt32 = 0x377f_0682, pageSize: UInt32 = 4096, frames: [(page: UInt32, commit: UInt32, salt: UInt64)]
    ) -> [UInt8] {
        var buffer = ByteBuffer()
        buffer.writeMultipleIntegers(magic, UInt32(3_007_000), pageSize, UInt32(0), UInt64(77), UInt64(0))
        for (page, commit, salt) in frames {
            buffer.writeMultipleIntegers(page, commit, salt, UInt64(0))
            buffer.writeRepeatingByte(UInt8(truncatingIfNeeded: page), count: 4096)
        }
        return Array(buffer.readableBytesView)
    }

    private static func withWAL(_ wal: [UInt8], size: Int? = nil) throws -> ByteBuffer {
        let database = SnapshotDatabase(name: "a.db", mainSize: 8192, walSize: UInt64(size ?? wal.count))
        return try Self.data([(database, [UInt8](repeating: 9, count: 8192) + wal)])
    }

    private func refusal(_ data: ByteBuffer, size: UInt64? = nil, maximumDatabases: Int = 16) -> SnapshotError.Code? {
        do {
            _ = try Self.decode(data, size: size, maximumDatabases: maximumDatabases)
            return nil
        } catch {
            return (error as? SnapshotError)?.code
        }
    }

    @Test("what a C node has sent, however its bytes are cut")
    func recorded() throws {
        let frame = ByteBuffer(bytes: try RecordedFrames.frame("9.54"))
        for size in [61, 1000, 100_000, .max] {
            var buffer = ByteBuffer()
            var parts = frame.pieces(of: size)[...]
            var head: InstallSnapshotHead?
            while head == nil, let part = parts.popFirst() {
                buffer.writeImmutableBuffer(part)
                head = try InstallSnapshotHead(from: &buffer)
            }
            for part in parts { buffer.writeImmutableBuffer(part) }
            let offer = try SnapshotOffer(#require(head))
            #expect(offer.size == 531_528)
            #expect((offer.term, offer.metadata.index, offer.metadata.term) == (Term(1), LogIndex(128), Term(1)))
            #expect(offer.metadata.configurationIndex == LogIndex(1))
            #expect(offer.metadata.configuration.servers.map(\.address) == ["127.0.0.1:19010"])
            let pieces = try Self.decode(buffer, pieceSize: size)
            #expect(pieces.count == 4 + 128)
            #expect(pieces.first == .file(name: "test.db", size: 4096))
            #expect(pieces[1] == .bytes(buffer.getSlice(at: buffer.readerIndex + 40, length: 4096)!, offset: 0))
            guard case .fileEnd(let pageCount?) = pieces[pieces.count - 2] else {
                throw SnapshotError(.malformed, "the WAL says how long the file is")
            }
            #expect(pageCount > 1 && pageCount <= 129)
            #expect(pieces.last == .end)
        }
    }

    @Test("the head is what the schema says, and C's to the byte")
    func head() throws {
        let configuration = Configuration(servers: [
            Configuration.Server(id: NodeID(1), address: "127.0.0.1:19010", role: .voter)
        ])
        let metadata = SnapshotMetadata(
            index: LogIndex(128), term: Term(1), configuration: configuration, configurationIndex: LogIndex(1))
        var buffer = ByteBuffer()
        try InstallSnapshotHead(metadata, term: Term(1), dataSize: 531_528).write(to: &buffer)
        // Raft 0.15 says 8 bytes too many, and fills up the configuration with what memory held.
        var recorded = Array(try RecordedFrames.frame("9.54")[..<0x68])
        recorded[8] -= 8
        recorded.replaceSubrange(0x5a..<0x60, with: repeatElement(0, count: 6))
        #expect(Array(buffer.readableBytesView) == recorded)
        let whole = DqliteProtocol.InstallSnapshot(
            term: 1, lastIndex: 128, lastTerm: 1, configurationIndex: 1, configuration: configuration.encoded(),
            data: [1, 2, 3])
        var short = ByteBuffer()
        try InstallSnapshotHead(metadata, term: Term(1), dataSize: 3).write(to: &short)
        #expect(Array(short.readableBytesView) + [1, 2, 3] == (try whole.dqliteBytes()))
        let read = try InstallSnapshotHead(from: &short)
        #expect(read == InstallSnapshotHead(metadata, term: Term(1), dataSize: 3))
        #expect(short.readableBytes == 0)
    }

    @Test("lengths of a head are refused before anything is waited for")
    func hostileHeads() {
        func refusal(_ words: [UInt64]) -> SnapshotError.Code? {
            var buffer = ByteBuffer()
            for word in words { buffer.writeInteger(word, endianness: .little) }
            do {
                return try InstallSnapshotHead(from: &buffer) == nil ? nil : .cancelled
            } catch {
                return error.code
            }
        }
        #expect(refusal([5, 4 << 20]) == nil)
        #expect(refusal([5, 4 << 20 + 1]) == .malformed)
        #expect(refusal([5, .max]) == .malformed)
        #expect(refusal([5, 40]) == .malformed)
        #expect(refusal([5, 0]) == .malformed)
        #expect(refusal([5, 48, 1, 1, 1, 1, 0, 0]) == .cancelled)
        #expect(refusal([5, 48, 1, 1, 1, 1, 1, 0]) == .malformed)
        #expect(refusal([5, 48, 1, 1, 1, 1, .max, 0]) == .malformed)
        #expect(refusal([5, 56, 1, 1, 1, 1, 8, 1]) == nil)
    }

    @Test("databases with and without a WAL")
    func databases() throws {
        let frames = Self.wal(frames: [(3, 0, 77), (2, 3, 77), (2, 2, 77)])
        let folded = SnapshotDatabase(name: "b.db", mainSize: 4096, walSize: 0)
        let empty = SnapshotDatabase(name: "c.db", mainSize: 0, walSize: 32)
        let first = SnapshotDatabase(name: "a.db", mainSize: 8192, walSize: UInt64(frames.count))
        let data = try Self.data([
            (first, [UInt8](repeating: 9, count: 8192) + frames), (folded, [UInt8](repeating: 8, count: 4096)),
            (empty, Self.wal(frames: [])),
        ])
        func page(_ byte: UInt8, _ count: Int = 4096) -> ByteBuffer { ByteBuffer(repeating: byte, count: count) }
        for size in [1, 100, .max] {
            #expect(
                try Self.decode(data, pieceSize: size) == [
                    .file(name: "a.db", size: 8192), .bytes(page(9, 8192), offset: 0), .page(page(3), number: 3),
                    .page(page(2), number: 2), .page(page(2), number: 2), .fileEnd(pageCount: 2),
                    .file(name: "b.db", size: 4096), .bytes(page(8), offset: 0), .fileEnd(pageCount: nil),
                    .file(name: "c.db", size: 0), .fileEnd(pageCount: nil), .end,
                ])
        }
        #expect(try Self.decode(Self.data([])) == [.end])
    }

    @Test("lengths and counts that cannot be")
    func hostileLengths() throws {
        func database(_ main: UInt64, _ wal: UInt64 = 0, name: String = "a", bytes: Int = 0) throws -> ByteBuffer {
            try Self.data([
                (SnapshotDatabase(name: name, mainSize: main, walSize: wal), [UInt8](repeating: 0, count: bytes))
            ])
        }
        #expect(self.refusal(try database(8, bytes: 8)) == nil)
        #expect(self.refusal(try database(9, bytes: 8)) == .malformed)
        #expect(self.refusal(try database(.max, bytes: 8)) == .malformed)
        #expect(self.refusal(try database(8, .max - 7, bytes: 8)) == .malformed)
        #expect(self.refusal(try database(8, bytes: 9)) == .malformed)
        #expect(self.refusal(try database(0, 31, bytes: 31)) == .malformed)
        #expect(self.refusal(try database(0, 33, bytes: 33)) == .malformed)
        #expect(self.refusal(try database(0, 32 + 4119, bytes: 32 + 4119)) == .malformed)
        // More is announced than comes: that is waited for.
        #expect(self.refusal(try database(1 << 40, bytes: 8), size: 1 << 41) == nil)
        #expect(self.refusal(try Self.data([], count: 1)) == .malformed)
        #expect(self.refusal(try Self.data([], count: 17), size: .max) == .limit)
        #expect(self.refusal(try Self.data([], count: .max), size: .max) == .limit)
        #expect(self.refusal(try database(0, name: String(repeating: "n", count: 255))) == nil)
        #expect(self.refusal(try database(0, name: String(repeating: "n", count: 256))) == .malformed)
        #expect(self.refusal(ByteBuffer(integer: UInt64(1), endianness: .little), size: 15) == .malformed)
        var format = try Self.data([])
        format.setInteger(UInt64(2), at: 0, endianness: .little)
        #expect(self.refusal(format) == .malformed)
        // A name without an end, when nothing more comes.
        var endless = ByteBuffer(bytes: try SnapshotHeader(databaseCount: 1).dqliteBytes())
        endless.writeString("abc")
        #expect(self.refusal(endless) == .malformed)
        #expect(self.refusal(endless, size: 100) == nil)
    }

    @Test("a WAL that is none, or has frames that cannot be")
    func hostileWALs() throws {
        let good: [(page: UInt32, commit: UInt32, salt: UInt64)] = [(3, 0, 77), (1, 3, 77)]
        #expect(self.refusal(try Self.withWAL(Self.wal(frames: good))) == nil)
        #expect(self.refusal(try Self.withWAL(Self.wal(magic: 0x377f_0683, frames: good))) == nil)
        #expect(self.refusal(try Self.withWAL(Self.wal(magic: 0x377f_0684, frames: good))) == .malformed)
        #expect(self.refusal(try Self.withWAL(Self.wal(pageSize: 8192, frames: good))) == .malformed)
        let bad: [[(page: UInt32, commit: UInt32, salt: UInt64)]] = [
            [(0, 3, 77)], [(.max, 3, 77)], [(5, 3, 77)], [(1, .max, 77)], [(1, 5, 77)], [(1, 3, 78)], [(1, 0, 77)],
        ]
        for frames in bad { #expect(self.refusal(try Self.withWAL(Self.wal(frames: frames))) == .malformed) }
    }

    @Test("bytes with errors in them end in an error, or in other pieces")
    func noise() throws {
        var random = SeededRandom(seed: 1)
        let data = try Self.withWAL(Self.wal(frames: [(3, 0, 77), (1, 3, 77)]))
        for _ in 0..<2000 {
            var damaged = data
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                // Most of the bytes are pages.
                let limit = Bool.random(using: &random) ? 48 : damaged.readableBytes
                let position = Int.random(in: 0..<limit, using: &random)
                damaged.setInteger(UInt8.random(in: 0...255, using: &random), at: position)
            }
            do {
                _ = try Self.decode(damaged, pieceSize: 3000)
            } catch {
                #expect(error is SnapshotError)
            }
        }
    }
}
