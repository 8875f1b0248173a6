internal import DqliteProtocol
internal import DqliteRaft

/// The name of a database, and how a session wants it opened.
struct DatabaseName: Sendable {
    /// What a session may do, and whether the database must exist.
    enum Mode: Hashable, Sendable {
        /// Read only; the database must exist.
        case readOnly
        /// Read and write; the database must exist.
        case readWrite
        /// Read and write; the first write creates the database. The default.
        case readWriteCreate
    }

    /// Name of the file, in the directory of the databases.
    var file: String
    /// How it is opened.
    var mode: Mode

    /// The longest name, in bytes: file systems allow 255, of which SQLite needs 8 for `-journal`.
    static let maximumLength = 255 - 8

    /// Understands a plain file name, or `file:NAME?key=value&…` by the rules of SQLite's URI file names.
    init(_ text: String) throws(EngineError) {
        guard text.utf8.starts(with: "file:".utf8) else {
            self.file = try Self.checked(Array(text.utf8))
            self.mode = .readWriteCreate
            return
        }
        // As SQLite reads it: a fragment is ignored, the query begins at the first question mark.
        let uri = text.utf8.dropFirst(5).prefix { $0 != UInt8(ascii: "#") }
        let path = uri.prefix { $0 != UInt8(ascii: "?") }
        self.file = try Self.checked(Self.decoded(path, in: text))
        self.mode = .readWriteCreate
        for parameter in uri.dropFirst(path.count + 1).split(separator: UInt8(ascii: "&")) {
            let parts = parameter.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            let key = String(decoding: try Self.decoded(parts[0], in: text), as: UTF8.self)
            let value = parts.count > 1 ? String(decoding: try Self.decoded(parts[1], in: text), as: UTF8.self) : ""
            try self.set(key, to: value)
        }
    }

    private mutating func set(_ key: String, to value: String) throws(EngineError) {
        switch (key, value) {
        case ("mode", "ro"): self.mode = .readOnly
        case ("mode", "rw"): self.mode = .readWrite
        case ("mode", "rwc"): self.mode = .readWriteCreate
        case ("mode", "memory"):
            throw Self.refusal("mode=memory is refused: a database lives in a file of the node; use a TEMP table")
        case ("mode", _):
            throw Self.refusal("mode=\(value) is refused: a mode is ro, rw or rwc")
        case ("cache", "private"): break
        case ("cache", _):
            throw Self.refusal("cache=\(value) is refused: every session has a cache of its own")
        case ("vfs", _):
            throw Self.refusal("vfs=\(value) is refused: the node decides how its files are stored")
        case ("immutable", _), ("nolock", _), ("psow", _), ("modeof", _):
            throw Self.refusal("\(key)=\(value) is refused: the node decides how its files are locked and written")
        default:
            throw Self.refusal("\(key)=\(value) is refused: only mode and cache=private can be chosen")
        }
    }

    /// The name in an entry of the log, which must be that of a file as well.
    init(entry name: String, at index: LogIndex) throws(EngineError) {
        do {
            self.file = try Self.checked(Array(name.utf8))
        } catch {
            throw EngineError(code: FailureCode.corrupt, message: "entry \(index) cannot be applied: \(error.message)")
        }
        self.mode = .readWriteCreate
    }

    /// Refuses what cannot be the name of a file.
    static func checkFile(_ name: String) throws(EngineError) { _ = try Self.checked(Array(name.utf8)) }

    private static func decoded(
        _ bytes: Substring.UTF8View.SubSequence, in text: String
    ) throws(EngineError) -> [UInt8] {
        var decoded: [UInt8] = []
        var bytes = bytes[...]
        while let byte = bytes.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                decoded.append(byte)
                continue
            }
            guard let high = bytes.popFirst().flatMap(Self.digit), let low = bytes.popFirst().flatMap(Self.digit) else {
                throw Self.refusal("the database name \"\(text)\" has a % without two hexadecimal digits")
            }
            decoded.append(high << 4 | low)
        }
        return decoded
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    private static func checked(_ bytes: [UInt8]) throws(EngineError) -> String {
        guard let name = String(validating: bytes, as: UTF8.self) else {
            throw self.refusal("the database name is not UTF-8")
        }
        if name.isEmpty { throw self.refusal("the database name is empty: a database lives in a file of the node") }
        if name == ":memory:" {
            throw self.refusal("\":memory:\" is refused: a database lives in a file of the node; use a TEMP table")
        }
        if name == "." || name == ".." || bytes.contains(UInt8(ascii: "/")) {
            throw self.refusal("the database name \"\(name)\" is not a plain file name: directories are the node's")
        }
        if bytes.contains(0) { throw self.refusal("the database name contains NUL") }
        if bytes.count > Self.maximumLength {
            throw self.refusal("the database name has \(bytes.count) bytes; at most \(Self.maximumLength) are allowed")
        }
        for suffix in Self.reservedSuffixes where bytes.suffix(suffix.utf8.count).elementsEqual(suffix.utf8) {
            throw self.refusal(
                "the database name \"\(name)\" ends in \(suffix), as SQLite's own files beside a database do")
        }
        return name
    }

    /// How SQLite's own files end.
    static let reservedSuffixes = ["-wal", "-shm", "-journal"]

    private static func refusal(_ message: String) -> EngineError {
        EngineError(code: FailureCode.cannotOpen, message: message)
    }
}

extension Engine {
    /// Refuses what cannot be the name of a database's file.
    ///
    /// - Throws: SQLITE_CANTOPEN (14), with why.
    public static func checkFileName(_ name: String) throws(EngineError) { try DatabaseName.checkFile(name) }
}
