/// SQL and the values of its parameters.
///
/// Written as a string literal, the text of the literal becomes SQL and every interpolated value becomes a parameter;
/// nothing else can happen to it, so that no value is ever taken for SQL:
/// ```swift
/// let query: DqliteQuery = "SELECT name FROM authors WHERE id = \(id)"  // sql: "SELECT name FROM authors WHERE id = ?"
/// ```
public struct DqliteQuery: Hashable, Sendable, ExpressibleByStringInterpolation {
    /// The SQL. Each parameter is a `?`.
    public var sql: String
    /// The values of the parameters.
    public var bindings: DqliteBindings

    /// A query from text that was not written as a literal.
    ///
    /// - Parameters:
    ///   - sql: The SQL, sent as it is: whoever can decide about a part of it can do to the database what they like.
    ///   - bindings: The values of its parameters.
    public init(unsafeSQL sql: String, bindings: DqliteBindings = DqliteBindings()) {
        self.sql = sql
        self.bindings = bindings
    }

    public init(stringLiteral value: String) { self.init(unsafeSQL: value) }

    public init(stringInterpolation interpolation: StringInterpolation) {
        self.init(unsafeSQL: interpolation.sql, bindings: interpolation.bindings)
    }

    /// What becomes of a literal with interpolated values.
    public struct StringInterpolation: StringInterpolationProtocol, Sendable {
        var sql = ""
        var bindings = DqliteBindings()
        private var scanner = SQLScanner()

        public init(literalCapacity: Int, interpolationCount: Int) {
            self.sql.reserveCapacity(literalCapacity + interpolationCount)
        }

        public mutating func appendLiteral(_ literal: String) {
            self.sql.append(literal)
            self.scanner.scan(literal)
        }

        private mutating func appendParameter() {
            if self.scanner.isInText {
                self.bindings.note(
                    "parameter \(self.bindings.count + 1) is in quotes or in a comment, where no parameter can be: leave the "
                        + "quotes out")
            }
            self.sql.append("?")
        }

        /// A parameter.
        public mutating func appendInterpolation(_ value: some DqliteEncodable) {
            self.appendParameter()
            self.bindings.append(value)
        }

        /// A parameter; nil is NULL.
        public mutating func appendInterpolation(_ value: (some DqliteEncodable)?) {
            self.appendParameter()
            self.bindings.append(value)
        }

        /// SQL as it is: for names of tables and columns, which cannot be parameters.
        public mutating func appendInterpolation(unescaped sql: String) {
            self.sql.append(sql)
            self.scanner.scan(sql)
        }
    }
}
