internal import DqliteProtocol
internal import DqliteRaft

/// The two files with term and vote.
///
/// A crash tears at most the one that is being written, and then the other has what was last reported as durable. What is
/// saved goes to both, one after the other, so that also later damage to either of them loses nothing.
struct TermFiles: Sendable {
    static let names = ["term-1", "term-2"]
    static let newName = "term-new"
    private static let size = 48

    private(set) var state = HardState()
    private var version: UInt64 = 0
    /// Those that are whole, by their names.
    private var files: [String: any LogFile] = [:]

    /// Reads the files that there are.
    init(fileSystem: any LogFileSystem, existing: Set<String>) throws(LogFileError) {
        for name in Self.names where existing.contains(name) {
            let file = try fileSystem.open(name)
            guard file.size == Self.size else { continue }
            let bytes = try file.bytes(0..<Self.size)
            guard let found = bytes.withUnsafeBytes({ TermAndVote(sealed: $0) }) else { continue }
            self.files[name] = file
            guard found.version > self.version else { continue }
            self.version = found.version
            self.state = HardState(term: Term(found.term), vote: found.votedFor == 0 ? nil : NodeID(found.votedFor))
        }
    }

    /// Whether either file could be read.
    var isFound: Bool { self.version > 0 }

    /// Creates what is missing or damaged, and writes the state to both: what was read may not be durable.
    mutating func start(fileSystem: any LogFileSystem) throws(LogFileError) {
        for name in Self.names where self.files[name] == nil {
            // The other one, if there is one, holds the state; so the next version belongs here.
            let file = try fileSystem.create(Self.newName, size: Self.size)
            self.files[name] = file
            try self.write(self.state)
            try fileSystem.rename(Self.newName, to: name)
            try fileSystem.sync()
            self.files[name] = try fileSystem.open(name)
        }
        try self.save(self.state)
    }

    /// Returns when it is durable.
    mutating func save(_ state: HardState) throws(LogFileError) {
        try self.write(state)
        try self.write(state)
        self.state = state
    }

    /// Writes the next version. Odd ones go to the first file.
    private mutating func write(_ state: HardState) throws(LogFileError) {
        let record = TermAndVote(
            version: self.version + 1, term: state.term.rawValue, votedFor: state.vote?.rawValue ?? 0)
        guard let file = self.files[Self.names[Int(self.version % 2)]] else {
            preconditionFailure("term and vote are saved before the files are there")
        }
        try file.write(record.sealedBytes(), at: 0)
        try file.sync()
        self.version += 1
    }
}

extension LogFile {
    /// A part of the file.
    func bytes(_ range: Range<Int>) throws(LogFileError) -> [UInt8] {
        var failure: LogFileError?
        let bytes = [UInt8](unsafeUninitializedCapacity: range.count) { memory, count in
            do throws(LogFileError) {
                try self.read(into: UnsafeMutableRawBufferPointer(memory), at: range.lowerBound)
                count = range.count
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    func write(_ bytes: [UInt8], at offset: Int) throws(LogFileError) {
        let result = bytes.withUnsafeBytes { memory -> Result<Void, LogFileError> in
            do throws(LogFileError) {
                return .success(try self.write([memory], at: offset))
            } catch {
                return .failure(error)
            }
        }
        try result.get()
    }
}
