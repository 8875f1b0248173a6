internal import CReplicaPager
internal import DqliteProtocol
internal import DqliteWire

extension FramesCommand {
    /// The command that replicates a batch: the head as the schema has it, then the images, copied once from where the
    /// pager has them.
    static func bytes(of batch: Batch, in database: String) throws(WireEncodingError) -> [UInt8] {
        let count = batch.pageCount
        var numbers: [UInt64] = []
        numbers.reserveCapacity(count)
        for position in 0..<count { numbers.append(UInt64(batch.page(position).number)) }
        let head = FramesCommand(
            name: database, isCommit: true, pageCount: UInt32(count), pageSize: UInt32(RP_PAGE_SIZE),
            pageNumbers: numbers)
        let headSize = try head.dqliteEncodedSize(revision: 0)
        let size = headSize + count * Int(RP_PAGE_SIZE)
        return [UInt8](unsafeUninitializedCapacity: size) { memory, written in
            var writer = WordWriter(UnsafeMutableRawBufferPointer(memory))
            head.encodeDqlite(into: &writer, revision: 0)
            for position in 0..<count {
                writer.bytes(UnsafeRawBufferPointer(start: batch.page(position).bytes, count: Int(RP_PAGE_SIZE)))
            }
            written = writer.count
        }
    }
}

/// A command of the log, with its pages where they lie: valid no longer than the memory that was read.
enum CommandView {
    case frames(name: String, pages: [rp_page_image])
    /// Accepted from old leaders, does nothing.
    case nothing

    init(_ bytes: UnsafeRawBufferPointer) throws(WireError) {
        var reader = WordReader(bytes, message: "Command")
        let word = try reader.word()
        guard word & 0xff == 1 else { throw reader.error(.invalidValue) }
        switch word >> 8 & 0xff {
        case 2: self = try Self.frames(bytes)
        case 1, 3, 4: self = .nothing
        default: throw reader.error(.invalidValue)
        }
    }

    /// As `FramesCommand` in schema/dqlite/command.proto, whose own reader copies the images.
    private static func frames(_ bytes: UnsafeRawBufferPointer) throws(WireError) -> CommandView {
        var reader = WordReader(bytes, message: "FramesCommand")
        _ = try reader.word()
        let name = try reader.text()
        // Number of the transaction, what to truncate, whether it is a commit: all constant since dqlite 1.0.
        try reader.skip(16)
        let count = Int(try reader.half())
        let pageSize = Int(try reader.short())
        try reader.skip(2)
        guard pageSize == Int(RP_PAGE_SIZE) else { throw reader.error(.invalidValue) }
        let checked = try reader.checked(count: UInt64(count), elementSize: 8 + pageSize)
        var numbers = try reader.part(checked * 8)
        let images = try reader.bytes(checked * pageSize)
        guard reader.rest().isEmpty else { throw reader.error(.invalidValue) }
        var pages: [rp_page_image] = []
        pages.reserveCapacity(checked)
        for position in 0..<checked {
            guard let number = UInt32(exactly: try numbers.word()), number > 0 else {
                throw numbers.error(.invalidValue)
            }
            pages.append(rp_page_image(number: number, bytes: images.baseAddress! + position * pageSize))
        }
        return .frames(name: name, pages: pages)
    }
}
