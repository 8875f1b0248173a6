/// How names of the schema become names of Swift.
enum Naming {
    /// Words that are written in one case throughout.
    private static let acronyms: [String: String] = [
        "id": "ID", "iso8601": "ISO8601", "rowid": "RowID", "sql": "SQL", "uri": "URI", "url": "URL", "vfs": "VFS",
        "wal": "WAL",
    ]
    /// Words that the wire abbreviates and Swift spells out.
    private static let spelledOut: [String: String] = ["ms": "milliseconds"]

    /// What cannot be a name without backticks.
    private static let keywords: Set<String> = [
        "as", "associatedtype", "break", "case", "catch", "class", "continue", "default", "defer", "deinit", "do",
        "else",
        "enum", "extension", "fallthrough", "false", "fileprivate", "for", "func", "guard", "if", "import", "in",
        "init",
        "inout", "internal", "is", "let", "nil", "operator", "precedencegroup", "private", "protocol", "public",
        "repeat",
        "rethrows", "return", "self", "static", "struct", "subscript", "super", "switch", "throw", "throws", "true",
        "try",
        "typealias", "var", "where", "while",
    ]

    /// `database_id` as `databaseID`, `exec_sql` as `execSQL`.
    static func property(_ name: String) -> String { self.escaped(self.lowerCamelCase(name.split(separator: "_"))) }

    /// `SERVER_ROLE_VOTER` of `ServerRole` as `voter`.
    static func enumerationCase(_ name: String, of enumeration: String) -> String {
        let prefix = self.casePrefix(of: enumeration)
        let rest = name.hasPrefix(prefix) ? name.dropFirst(prefix.count) : name[...]
        return self.escaped(self.lowerCamelCase(rest.lowercased().split(separator: "_")))
    }

    /// What the cases of an enumeration begin with: `SERVER_ROLE_` for `ServerRole`.
    static func casePrefix(of enumeration: String) -> String {
        self.words(ofType: enumeration).map { $0.uppercased() }.joined(separator: "_") + "_"
    }

    /// `ExecSQLRequest` without its suffix: `ExecSQL`.
    static func title(_ message: String, without suffix: String) -> String {
        message.hasSuffix(suffix) && message != suffix ? String(message.dropLast(suffix.count)) : message
    }

    /// A type's name as that of a member: `ExecSQL` as `execSQL`.
    static func member(_ type: String) -> String {
        let words = self.words(ofType: type)
        guard let first = words.first else { return type }
        return self.escaped(first.lowercased() + words.dropFirst().joined())
    }

    /// `ExecSQLRequest` as `Exec`, `SQL`, `Request`.
    static func words(ofType name: String) -> [String] {
        var words: [String] = []
        let characters = Array(name)
        for (index, character) in characters.enumerated() {
            let follows = index + 1 < characters.count ? characters[index + 1] : "A"
            let precedes = index > 0 ? characters[index - 1] : "a"
            let begins = character.isUppercase && (!precedes.isUppercase || follows.isLowercase)
            if begins || words.isEmpty { words.append("") }
            words[words.count - 1].append(character)
        }
        return words
    }

    /// The name, in backticks where Swift needs them.
    static func escaped(_ name: String) -> String { self.keywords.contains(name) ? "`\(name)`" : name }

    private static func lowerCamelCase(_ words: [Substring]) -> String {
        var result = ""
        for word in words {
            let word = self.spelledOut[String(word)] ?? String(word)
            if result.isEmpty {
                result = word
            } else {
                result += self.acronyms[word] ?? (word.prefix(1).uppercased() + word.dropFirst())
            }
        }
        return result
    }
}
