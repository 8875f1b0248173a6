/// A cell of a row does not hold what it was asked for.
///
/// Its description names column and types; the value is in neither description, as it may be private.
public struct DqliteDecodingError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        enum Base: String, Hashable, Sendable {
            case typeMismatch, unexpectedNull, outOfRange, invalidUTF8, noSuchColumn, columnCountMismatch
        }

        let base: Base

        public var description: String { self.base.rawValue }

        /// The cell holds another type.
        public static var typeMismatch: Code { Code(base: .typeMismatch) }
        /// The cell holds NULL, and the type is not an `Optional`.
        public static var unexpectedNull: Code { Code(base: .unexpectedNull) }
        /// The type cannot hold the value: an integer too large for it, or a raw value without a case.
        public static var outOfRange: Code { Code(base: .outOfRange) }
        /// The text is not UTF-8.
        public static var invalidUTF8: Code { Code(base: .invalidUTF8) }
        /// The row has no column of that name or index.
        public static var noSuchColumn: Code { Code(base: .noSuchColumn) }
        /// The row has fewer columns than the tuple that it was to become.
        public static var columnCountMismatch: Code { Code(base: .columnCountMismatch) }
    }

    /// What is wrong.
    public var code: Code
    /// Name of the column, as the result has it.
    public var columnName: String
    /// Index of the column, from zero.
    public var columnIndex: Int
    /// Name of the type that was asked for.
    public var targetType: String
    /// What the cell holds; nil when there is no such cell.
    public var valueType: DqliteDataType?
    /// Where the value was asked for.
    public var file: String
    /// Where the value was asked for.
    public var line: Int

    public init(
        _ code: Code, columnName: String, columnIndex: Int, targetType: String, valueType: DqliteDataType?,
        file: String = #fileID, line: Int = #line
    ) {
        self.code = code
        self.columnName = columnName
        self.columnIndex = columnIndex
        self.targetType = targetType
        self.valueType = valueType
        self.file = file
        self.line = line
    }

    public var description: String {
        let column = "column \(self.columnIndex) \"\(self.columnName)\""
        let holds = self.valueType.map { "\($0)" } ?? "nothing"
        let problem =
            switch self.code.base {
            case .typeMismatch: "\(column) holds \(holds), not \(self.targetType)"
            case .unexpectedNull: "\(column) holds NULL: ask for \(self.targetType)?"
            case .outOfRange: "\(column) holds \(holds) that \(self.targetType) cannot represent"
            case .invalidUTF8: "\(column) holds TEXT that is not UTF-8"
            case .noSuchColumn:
                self.columnName.isEmpty
                    ? "the row has no column \(self.columnIndex)" : "the row has no column \"\(self.columnName)\""
            case .columnCountMismatch: "the row has \(self.columnIndex) columns, too few for \(self.targetType)"
            }
        return "\(problem) (\(self.file):\(self.line))"
    }
}
