internal import CSQLite
internal import DqliteProtocol

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// A new database is made under another name and gets its own when it is complete: to go over to WAL mode takes locks
/// for which SQLite does not wait, and on a full disk something may be left that is none.
extension Database {
    /// How the names begin under which databases are made. They end like a journal's, as no database's does.
    private static let unfinishedPrefix = ".dqlite-new-"
    private static let unfinishedSuffix = "-journal"

    /// Creates an empty database in WAL mode; that somebody else did is no mistake.
    ///
    /// - Parameter number: Told from everybody else's who creates a database now.
    func create(number: UInt64) throws(EngineError) {
        let temporary = "\(self.directory)/\(Self.unfinishedPrefix)\(number)\(Self.unfinishedSuffix)"
        unlink(temporary)
        defer { unlink(temporary) }
        try Self.makeEmpty(temporary)
        // Unlike to rename it, this replaces nothing. Not every file system can.
        if link(temporary, self.path) != 0, errno != EEXIST, rename(temporary, self.path) != 0 {
            throw EngineError(
                code: FailureCode.cannotOpen,
                message: "the database cannot be created: \(String(cString: strerror(errno)))")
        }
        // The name must last as long as what is committed.
        let descriptor = open(self.directory, O_RDONLY | O_CLOEXEC)
        if descriptor >= 0 {
            fsync(descriptor)
            Self.close(descriptor)
        }
    }

    private static func makeEmpty(_ path: String) throws(EngineError) {
        var handle: OpaquePointer?
        let flags =
            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
            | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_NOFOLLOW
        var result = sqlite3_open_v2(path, &handle, flags, nil)
        if result == SQLITE_OK {
            result = sqlite3_exec(
                handle, "PRAGMA page_size = 4096; PRAGMA synchronous = FULL; PRAGMA journal_mode = WAL", nil, nil, nil)
        }
        let message = handle.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
        sqlite3_close_v2(handle)
        if result != SQLITE_OK {
            for suffix in DatabaseName.reservedSuffixes { unlink(path + suffix) }
            throw EngineError(code: UInt64(result), message: "the database cannot be created: \(message)")
        }
    }

    // Under this name the functions of the system are hidden by nothing.
    private static func close(_ descriptor: Int32) {
        #if canImport(Glibc)
            _ = Glibc.close(descriptor)
        #elseif canImport(Musl)
            _ = Musl.close(descriptor)
        #else
            _ = Darwin.close(descriptor)
        #endif
    }

    /// Removes what was begun when the process ended. Nobody else must use the directory.
    static func removeUnfinished(in directory: String) {
        guard let entries = opendir(directory) else { return }
        defer { closedir(entries) }
        while let entry = readdir(entries) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard name.hasPrefix(self.unfinishedPrefix) else { continue }
            // With SQLite's own files beside it.
            guard
                DatabaseName.reservedSuffixes.contains(where: { name.hasSuffix(self.unfinishedSuffix + $0) })
                    || self.isUnfinished(name)
            else { continue }
            unlink("\(directory)/\(name)")
        }
    }

    /// A number between prefix and suffix.
    private static func isUnfinished(_ name: String) -> Bool {
        guard name.hasSuffix(self.unfinishedSuffix) else { return false }
        let number = name.dropFirst(self.unfinishedPrefix.count).dropLast(self.unfinishedSuffix.count)
        return UInt64(number) != nil
    }
}
