/// Does what the machine decided, with files.
struct LogWorker: Sendable {
    /// How far the file is written ahead with zeros: a write to space that was only allocated costs the file system a
    /// transaction of its own, which makes the sync after it slower by half.
    private static let zeros = [UInt8](repeating: 0, count: 1 << 20)
    /// Large groups need no help.
    private static let smallGroup = 64 << 10

    let fileSystem: any LogFileSystem
    private var spare: (any LogFile)?
    private(set) var file: (any LogFile)?
    private var zeroedUpTo = 0

    /// - Parameter file: The last segment, whose records end at `end`.
    init(fileSystem: any LogFileSystem, file: (any LogFile)? = nil, end: Int = 0) {
        self.fileSystem = fileSystem
        self.file = file
        self.zeroedUpTo = end
    }

    mutating func result(of action: LogMachine.Action) -> Result<Void, LogFileError> {
        do throws(LogFileError) {
            return .success(try self.perform(action))
        } catch {
            return .failure(error)
        }
    }

    private mutating func perform(_ action: LogMachine.Action) throws(LogFileError) {
        switch action {
        case .prepareSpare(let size):
            self.spare = nil
            do throws(LogFileError) {
                let file = try self.fileSystem.create(Segment.spareName, size: size)
                try file.sync()
                self.spare = file
            } catch {
                // It may have taken what space was left.
                try? self.fileSystem.remove(Segment.spareName)
                throw error
            }
        case .begin(let segment, let content):
            guard let file = self.spare else { preconditionFailure("a segment is begun without a spare file") }
            try Self.write([content], to: file, at: 0)
            try file.sync()
            try self.fileSystem.rename(Segment.spareName, to: segment.name)
            try self.fileSystem.sync()
            self.spare = nil
            // Errors are to name the file as it is called now.
            self.file = try self.fileSystem.open(segment.name)
            self.zeroedUpTo = content.count
        case .write(let group):
            guard let file = self.file else { preconditionFailure("records are written without a segment") }
            try Self.write(group.pieces, to: file, at: group.offset)
            if group.end > self.zeroedUpTo, group.end - group.offset <= Self.smallGroup {
                self.zeroedUpTo = min(group.end + Self.zeros.count, file.size)
                try Self.write([Self.zeros], limit: self.zeroedUpTo - group.end, to: file, at: group.end)
            }
            try file.sync()
        case .retire(let number):
            try self.fileSystem.retire(Segment.name(number))
            // One after the other: a crash that brought back an older one than is missing would look like damage.
            try self.fileSystem.sync()
        }
    }

    /// Writes the pieces from where they are.
    private static func write(
        _ pieces: [[UInt8]], limit: Int = .max, to file: any LogFile, at offset: Int
    ) throws(LogFileError) {
        var offset = offset
        var rest = pieces[...]
        while !rest.isEmpty {
            let part = rest.prefix(256)
            var buffers: [UnsafeRawBufferPointer] = []
            buffers.reserveCapacity(part.count)
            try Self.withMemory(of: part, &buffers) { (buffers) throws(LogFileError) in
                try file.write(buffers.map { UnsafeRawBufferPointer(rebasing: $0.prefix(limit)) }, at: offset)
            }
            offset = part.reduce(offset) { $0 + $1.count }
            rest = rest.dropFirst(part.count)
        }
    }

    /// The memory of arrays is where it is for the time of a closure only: one within the other makes it all of them.
    private static func withMemory(
        of pieces: ArraySlice<[UInt8]>, _ buffers: inout [UnsafeRawBufferPointer],
        _ body: ([UnsafeRawBufferPointer]) throws(LogFileError) -> Void
    ) throws(LogFileError) {
        guard let piece = pieces.first else { return try body(buffers) }
        let result = piece.withUnsafeBytes { memory -> Result<Void, LogFileError> in
            buffers.append(memory)
            do throws(LogFileError) {
                return .success(try Self.withMemory(of: pieces.dropFirst(), &buffers, body))
            } catch {
                return .failure(error)
            }
        }
        try result.get()
    }
}
