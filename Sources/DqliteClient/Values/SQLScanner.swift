/// Reads SQL text just far enough to know where strings, quoted names and comments are: what counts in them is no `;` and
/// no `?`. The text may come in pieces.
struct SQLScanner: Hashable, Sendable {
    private enum Place: Hashable {
        case code
        /// In a string or a quoted name, up to this byte.
        case quoted(UInt8)
        case lineComment
        case blockComment
    }

    private var place = Place.code
    private var last: UInt8 = 0
    private var isAfterSemicolon = false
    /// Whether there is something behind a `;`. The body of a trigger counts too.
    private(set) var hasSeveralStatements = false

    init() {}

    init(_ text: String) { self.scan(text) }

    /// Whether a `?` here would be a part of a string, a name or a comment.
    var isInText: Bool { self.place != .code }

    mutating func scan(_ text: String) {
        for byte in text.utf8 { self.scan(byte) }
    }

    private mutating func scan(_ byte: UInt8) {
        var byte = byte
        switch (self.place, byte) {
        case (.quoted(let end), _):
            // A doubled quote ends the text and begins it again, with the same result.
            if byte == end { self.place = .code }
        case (.lineComment, _):
            if byte == UInt8(ascii: "\n") { self.place = .code }
        case (.blockComment, UInt8(ascii: "/")) where self.last == UInt8(ascii: "*"):
            self.place = .code
            byte = 0
        case (.blockComment, _): break
        case (.code, UInt8(ascii: "-")) where self.last == UInt8(ascii: "-"): self.place = .lineComment
        case (.code, UInt8(ascii: "*")) where self.last == UInt8(ascii: "/"):
            self.place = .blockComment
            // "/*/" does not end it.
            byte = 0
        case (.code, UInt8(ascii: ";")): self.isAfterSemicolon = true
        case (.code, UInt8(ascii: " ")), (.code, 9...13): break
        case (.code, _):
            // What begins a comment may stand behind the last statement; a quote or a letter begins another.
            if self.isAfterSemicolon, byte != UInt8(ascii: "-"), byte != UInt8(ascii: "/") {
                self.hasSeveralStatements = true
            }
            switch byte {
            case UInt8(ascii: "'"), UInt8(ascii: "\""), UInt8(ascii: "`"): self.place = .quoted(byte)
            case UInt8(ascii: "["): self.place = .quoted(UInt8(ascii: "]"))
            default: break
            }
        }
        self.last = byte
    }

    /// Whether the text has this word, in either case, anywhere: also in strings and comments.
    ///
    /// - Parameter word: In capitals.
    static func contains(_ word: StaticString, in text: String) -> Bool {
        let pattern = UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
        var text = text
        return text.withUTF8 { bytes in
            guard bytes.count >= pattern.count else { return false }
            func isPart(_ index: Int) -> Bool {
                guard bytes.indices.contains(index) else { return false }
                switch bytes[index] {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), 0x80...:
                    return true
                default: return false
                }
            }
            return (0...(bytes.count - pattern.count)).contains { start in
                pattern.indices.allSatisfy { index in
                    let byte = bytes[start + index]
                    let isSmall = byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z")
                    return (isSmall ? byte - 32 : byte) == pattern[index]
                } && !isPart(start - 1) && !isPart(start + pattern.count)
            }
        }
    }

    /// Whether the text is a statement that certainly changes nothing. One that only seems to is not known to be one.
    static func onlyReads(_ text: String) -> Bool {
        let first = text.drop { $0.isWhitespace }.prefix { $0.isASCII && $0.isLetter }.uppercased()
        switch first {
        case "SELECT", "VALUES": return !SQLScanner(text).hasSeveralStatements
        case "WITH":
            let writes: [StaticString] = ["INSERT", "UPDATE", "DELETE", "REPLACE"]
            return !writes.contains { self.contains($0, in: text) } && !SQLScanner(text).hasSeveralStatements
        default: return false
        }
    }

    /// Whether running the text may end a transaction by committing it. CASE … END is taken for it too.
    static func mayCommit(_ text: String) -> Bool {
        self.contains("COMMIT", in: text) || self.contains("END", in: text)
    }
}
