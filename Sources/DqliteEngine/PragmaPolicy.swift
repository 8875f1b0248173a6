/// Which PRAGMAs a client may use. Those that are not listed are refused.
enum PragmaPolicy {
    enum Decision: Equatable {
        /// Reads; or, if `writes`, changes the database, whatever sqlite3_stmt_readonly says.
        case allowed(writes: Bool)
        /// Changes how this connection behaves.
        case setting
        case refused(String)
    }

    /// Decides about `PRAGMA name`, `PRAGMA name = argument` or `PRAGMA name(argument)`.
    static func decide(_ name: String, argument: String?, maximumCacheSize: Int) -> Decision {
        let name = name.lowercased()
        switch name {
        // What tells about the schema and the file; an argument only chooses.
        case _ where self.schemaPragmas.contains(name), "data_version":
            return .allowed(writes: false)
        // What is stored in the database.
        case "user_version", "application_id":
            return .allowed(writes: argument != nil)
        case "optimize", "incremental_vacuum":
            return .allowed(writes: true)
        case "shrink_memory":
            return .allowed(writes: false)
        // What changes this connection only.
        case "foreign_keys", "defer_foreign_keys", "recursive_triggers", "case_sensitive_like",
            "ignore_check_constraints", "query_only", "reverse_unordered_selects", "automatic_index", "analysis_limit",
            "legacy_alter_table", "cell_size_check":
            return argument == nil ? .allowed(writes: false) : .setting
        case "cache_size":
            guard let argument else { return .allowed(writes: false) }
            return self.cacheSize(argument, maximum: maximumCacheSize)
        default:
            guard let reason = self.reason(name) else {
                return .refused("PRAGMA \(name) is refused: it is not one of those that a node allows")
            }
            if argument == nil, reason.mayBeRead { return .allowed(writes: false) }
            return .refused("PRAGMA \(name) \(reason.mayBeRead ? "cannot be set" : "is refused"): \(reason.text)")
        }
    }

    private static let schemaPragmas: Set<String> = [
        "table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list",
        "foreign_key_check", "database_list", "collation_list", "function_list", "module_list", "pragma_list",
        "compile_options", "integrity_check", "quick_check", "freelist_count", "page_count",
    ]

    /// Whether a PRAGMA that only reads tells the same on every connection: what a session has set for itself is known on
    /// its own alone.
    static func isOfDatabase(_ name: String) -> Bool {
        let name = name.lowercased()
        return self.schemaPragmas.contains(name) || name == "user_version" || name == "application_id"
    }

    private static func cacheSize(_ argument: String, maximum: Int) -> Decision {
        // Positive: pages, of 4096 bytes; negative: KiB.
        guard let size = Int32(argument) else {
            return .refused("PRAGMA cache_size takes a number of pages, or a negative number of KiB")
        }
        let bytes = size < 0 ? -Int(size) * 1024 : Int(size) * 4096
        guard bytes <= maximum else {
            return .refused(
                "PRAGMA cache_size cannot be set to \(bytes) bytes: at most \(maximum) are allowed for a session")
        }
        return .setting
    }

    private static func reason(_ name: String) -> (text: String, mayBeRead: Bool)? {
        switch name {
        case "journal_mode", "journal_size_limit", "synchronous", "fullfsync", "checkpoint_fullfsync",
            "wal_autocheckpoint":
            ("the node keeps the log of its databases itself, durability rests on it", true)
        case "wal_checkpoint":
            ("the node moves its log into the database by itself", false)
        case "locking_mode", "read_uncommitted", "busy_timeout":
            ("the node decides who reads and writes when", true)
        case "page_size", "auto_vacuum", "encoding", "max_page_count", "secure_delete", "cache_spill", "mmap_size":
            ("it is the same for all databases of a node", true)
        case "schema_version", "writable_schema":
            ("writing to the schema by hand can destroy the database", true)
        case "trusted_schema":
            ("what a schema may call is the node's to decide", true)
        case "temp_store", "threads":
            ("memory and threads are the node's", true)
        case "temp_store_directory", "data_store_directory", "soft_heap_limit", "hard_heap_limit":
            ("it would change the whole process of the node", false)
        default: nil
        }
    }
}
