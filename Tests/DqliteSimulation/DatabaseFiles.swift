import DqliteLog
import DqliteRaft
import LogSimulation

/// The files of a simulated database, beside the log.
struct DatabaseFiles {
    /// What a copy that came from a leader is (rule 25).
    struct Copy {
        var snapshot: SnapshotMetadata
        /// The newest intent of the sender when the copy ended.
        var intent: LogIndex

        var marks: CheckpointMarks { CheckpointMarks(intent: self.intent, done: self.snapshot.index) }
        var configuration: StoredConfiguration {
            StoredConfiguration(
                index: self.snapshot.configurationIndex, data: self.snapshot.configuration.encoded())
        }
    }

    /// Its name in the log, and its file.
    static let database = "database"
    private static let incoming = "incoming"
    private static let copy = "copy"

    let disk: SimulatedDisk

    /// What a node of the model is born with.
    func begin(_ shape: DatabaseShape) {
        self.disk.files = [Self.database: [UInt8](repeating: 0, count: shape.pageCount * Page.size)]
    }

    // MARK: The file

    /// All of it; nil: there is none.
    func content() throws(LogFileError) -> [UInt8]? { try self.content(of: Self.database) }

    func read(_ range: Range<Int>) throws(LogFileError) -> [UInt8] {
        try Self.bytes(of: try self.disk.open(Self.database), range: range)
    }

    func write(_ bytes: [UInt8], at offset: Int) throws(LogFileError) {
        try Self.write(bytes, to: try self.disk.open(Self.database), at: offset)
    }

    func sync() throws(LogFileError) { try self.disk.open(Self.database).sync() }

    // MARK: A file that grows

    /// How large it is; nil: there is none.
    func size() throws(LogFileError) -> Int? {
        guard try self.disk.names().contains(Self.database) else { return nil }
        return try self.disk.open(Self.database).size
    }

    /// Writes, also behind the end, and makes the file if there is none.
    func put(_ bytes: [UInt8], at offset: Int) throws(LogFileError) {
        if try self.size() == nil { _ = try self.disk.create(Self.database, size: 0) }
        if let size = try self.size(), size < offset + bytes.count { try self.resize(to: offset + bytes.count) }
        try self.write(bytes, at: offset)
    }

    func resize(to size: Int) throws(LogFileError) { try self.disk.resize(Self.database, to: size) }
    func syncNames() throws(LogFileError) { try self.disk.sync() }

    // MARK: A copy that comes

    func beginIncoming(size: Int) throws(LogFileError) { _ = try self.disk.create(Self.incoming, size: size) }

    func writeIncoming(_ bytes: [UInt8], at offset: Int) throws(LogFileError) {
        try Self.write(bytes, to: try self.disk.open(Self.incoming), at: offset)
    }

    func syncIncoming() throws(LogFileError) {
        try self.disk.open(Self.incoming).sync()
        try self.disk.sync()
    }

    /// From here on the copy is installed, also after a crash.
    func record(_ copy: Copy) throws(LogFileError) {
        var words = [
            copy.snapshot.index.rawValue, copy.snapshot.term.rawValue, copy.snapshot.configurationIndex.rawValue,
            copy.intent.rawValue,
        ]
        let configuration = copy.snapshot.configuration.encoded()
        words.append(UInt64(configuration.count))
        try self.replace(Self.copy, with: words.flatMap(Self.bytes) + configuration)
    }

    /// The copy that is to be installed; nil: there is none.
    func recorded() throws(LogFileError) -> Copy? {
        guard let bytes = try self.content(of: Self.copy) else { return nil }
        let configuration = try? Configuration(decoding: bytes[40...])
        guard let configuration else { preconditionFailure("what was recorded is a configuration") }
        return Copy(
            snapshot: SnapshotMetadata(
                index: LogIndex(Self.word(bytes, 0)), term: Term(Self.word(bytes, 1)), configuration: configuration,
                configurationIndex: LogIndex(Self.word(bytes, 2))),
            intent: LogIndex(Self.word(bytes, 3)))
    }

    /// Puts the copy in the place of the database, if that was not done yet.
    func placeIncoming() throws(LogFileError) {
        guard try self.disk.names().contains(Self.incoming) else { return }
        try self.disk.rename(Self.incoming, to: Self.database)
        try self.disk.sync()
    }

    func forgetCopy() throws(LogFileError) {
        try self.disk.remove(Self.copy)
        try self.disk.sync()
    }

    /// Removes what a copy left behind that did not come to its record.
    func clean() throws(LogFileError) {
        for name in [Self.incoming, "new"] where try self.disk.names().contains(name) { try self.disk.remove(name) }
    }

    // MARK: Bytes

    private func replace(_ name: String, with bytes: [UInt8]) throws(LogFileError) {
        let file = try self.disk.create("new", size: bytes.count)
        try Self.write(bytes, to: file, at: 0)
        try file.sync()
        try self.disk.rename("new", to: name)
        try self.disk.sync()
    }

    private func content(of name: String) throws(LogFileError) -> [UInt8]? {
        guard try self.disk.names().contains(name) else { return nil }
        return try Self.bytes(of: try self.disk.open(name))
    }

    private static func bytes(_ word: UInt64) -> [UInt8] { withUnsafeBytes(of: word.littleEndian) { [UInt8]($0) } }

    private static func word(_ bytes: [UInt8], _ place: Int) -> UInt64 {
        bytes.withUnsafeBytes {
            UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: place * 8, as: UInt64.self))
        }
    }

    private static func bytes(
        of file: any LogFile, range: Range<Int>? = nil
    ) throws(LogFileError) -> [UInt8] {
        let range = range ?? 0..<file.size
        var bytes = [UInt8](repeating: 0, count: range.count)
        let result = bytes.withUnsafeMutableBytes { memory -> Result<Void, LogFileError> in
            Result { () throws(LogFileError) in try file.read(into: memory, at: range.lowerBound) }
        }
        try result.get()
        return bytes
    }

    private static func write(_ bytes: [UInt8], to file: any LogFile, at offset: Int) throws(LogFileError) {
        let result = bytes.withUnsafeBytes { memory -> Result<Void, LogFileError> in
            Result { () throws(LogFileError) in try file.write([memory], at: offset) }
        }
        try result.get()
    }
}
