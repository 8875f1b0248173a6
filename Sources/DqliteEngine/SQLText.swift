/// What can be told about SQL without compiling it, by the rules of SQLite's tokenizer.
enum SQLText {
    /// Where the first token begins that is neither blank, comment nor, if `skippingSemicolons`, a semicolon.
    static func firstToken(
        in sql: UnsafeRawBufferPointer, from start: Int = 0, skippingSemicolons: Bool = true
    ) -> Int {
        var index = start
        while index < sql.count {
            switch sql[index] {
            case UInt8(ascii: " "), 0x09, 0x0a, 0x0c, 0x0d:
                index += 1
            case UInt8(ascii: ";") where skippingSemicolons:
                index += 1
            case UInt8(ascii: "-") where index + 1 < sql.count && sql[index + 1] == UInt8(ascii: "-"):
                index += 2
                while index < sql.count, sql[index] != 0x0a { index += 1 }
            // "/*" with nothing behind it is not a comment to SQLite but two operators.
            case UInt8(ascii: "/") where index + 2 < sql.count && sql[index + 1] == UInt8(ascii: "*"):
                index = self.endOfComment(in: sql, from: index + 2)
            // A byte order mark is blank.
            case 0xef where index + 2 < sql.count && sql[index + 1] == 0xbb && sql[index + 2] == 0xbf:
                index += 3
            default:
                return index
            }
        }
        return sql.count
    }

    private static func endOfComment(in sql: UnsafeRawBufferPointer, from start: Int) -> Int {
        var index = start
        while index + 1 < sql.count {
            if sql[index] == UInt8(ascii: "*"), sql[index + 1] == UInt8(ascii: "/") { return index + 2 }
            index += 1
        }
        return sql.count
    }

    /// Whether nothing is left to run.
    static func isBlank(_ sql: UnsafeRawBufferPointer, from start: Int = 0) -> Bool {
        self.firstToken(in: sql, from: start) == sql.count
    }

    /// Whether the statement begins with this keyword, which is given in capitals.
    static func begins(_ sql: UnsafeRawBufferPointer, with keyword: StaticString) -> Bool {
        let start = self.firstToken(in: sql)
        let length = keyword.utf8CodeUnitCount
        guard sql.count - start >= length else { return false }
        for index in 0..<length {
            // Letters differ from their capitals in one bit.
            guard sql[start + index] & 0xdf == keyword.utf8Start[index] else { return false }
        }
        guard start + length < sql.count else { return true }
        switch sql[start + length] {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "$"), 0x80...:
            return false
        default:
            return true
        }
    }
}
