public import DqliteWire

extension FailureResponse {
    /// Reads the body of a Failure that answers Query or QuerySQL.
    ///
    /// When a query fails after rows were written, dqlite up to 1.18 at least does not take them back: the body is the
    /// number of columns, their names, the rows so far, and only then code and message. Read from the front the code would be
    /// the number of columns and the message the name of the first.
    @inlinable
    public init(afterPartialRows body: UnsafeRawBufferPointer) throws(WireError) {
        var front = WordReader(body, message: "FailureResponse")
        if let failure = try Self(wholeOf: front) {
            self = failure
            return
        }
        let columnCount = try front.count(elementSize: 8)
        for _ in 0..<columnCount { _ = try front.textBytes() }
        while true {
            // A row in place of the failure is not mistaken for it: a text that reaches to the end of the body can only be
            // the message, since the code in front of the message has zeros in it.
            if let failure = try Self(wholeOf: front) {
                self = failure
                return
            }
            guard let types = try nextDqliteRow(from: &front, columnCount: columnCount) else {
                throw front.error(.invalidValue)
            }
            for column in 0..<columnCount {
                _ = try ValueView(dqlite: &front, typeCode: dqliteTypeCode(types, column: column))
            }
        }
    }

    /// Code and message, if they are exactly what remains.
    @inlinable
    init?(wholeOf reader: WordReader) throws(WireError) {
        var reader = reader
        let code = try reader.word()
        let start = reader
        _ = try reader.textBytes()
        guard reader.isAtEnd else { return nil }
        reader = start
        self.init(code: code, message: try reader.text())
    }
}
