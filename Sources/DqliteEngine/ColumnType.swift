/// How the values of a column are told on the dqlite encoding, by the type that the column was declared with.
///
/// dqlite compares the whole declared type, in any case: `DATETIME` but not `DATETIME(6)`.
enum ColumnType: Equatable, Sendable {
    /// As what they are.
    case plain
    /// INTEGER as a time in seconds, TEXT as a time in text, all else as what it is.
    case time
    /// INTEGER as a boolean, all else as what it is.
    case boolean

    /// - Parameter declaration: The declared type, NUL-terminated; nil when the column of the result is not one of a
    ///   table.
    init(declaration: UnsafePointer<CChar>?) {
        guard let declaration else {
            self = .plain
            return
        }
        if Self.equal(declaration, "DATETIME") || Self.equal(declaration, "DATE")
            || Self.equal(declaration, "TIMESTAMP")
        {
            self = .time
        } else if Self.equal(declaration, "BOOLEAN") {
            self = .boolean
        } else {
            self = .plain
        }
    }

    private static func equal(_ text: UnsafePointer<CChar>, _ capitals: StaticString) -> Bool {
        for index in 0..<capitals.utf8CodeUnitCount {
            // Only letters: two bytes that differ in that one bit only cannot both be compared to a capital.
            guard UInt8(bitPattern: text[index]) & 0xdf == capitals.utf8Start[index] else { return false }
        }
        return text[capitals.utf8CodeUnitCount] == 0
    }
}
