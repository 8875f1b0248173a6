import DqliteProtocol
import DqliteWire
import Synchronization

/// What a sequence of rows reads from: gives its iterator out once, and stops the query if it never does.
final class RowSource: Sendable {
    private let iterator: Mutex<RowIterator?>

    init(_ iterator: sending RowIterator) { self.iterator = Mutex(iterator) }

    func makeIterator() -> sending RowIterator {
        let iterator = self.iterator.withLock { iterator -> sending RowIterator? in
            let taken = iterator
            iterator = nil
            return taken
        }
        guard let iterator else { preconditionFailure("the rows of a result can be read once only") }
        iterator.noteReader()
        return iterator
    }
}

/// Whose rows they are.
struct RowOrigin: Sendable {
    var sql: String
    var transaction: TransactionState?
    /// What is given back when the rows are over.
    var lease: LeaderConnection.Lease?
    var file: String
    var line: Int
}

/// Reads the rows of a result, in one task at a time. Whoever lets go of it before the end stops the query.
final class RowIterator {
    private let stream: RowStream
    private var reader: RowReader
    private var parts: ArraySlice<ResultPart> = []
    private var current: ResultPart?
    /// Bytes that were read and not reported.
    private var consumed = 0
    private let reportAbove: Int
    private var isAtEnd = false
    /// Whose result it is, for errors on the way.
    var origin: RowOrigin?

    init(stream: RowStream, encoding: WireEncoding, window: Int) {
        self.stream = stream
        self.reader = RowReader(encoding: encoding)
        // Often enough for the node not to run out, seldom enough not to wake the event loop for each part.
        self.reportAbove = window / 4
    }

    deinit {
        guard !self.isAtEnd else { return }
        if self.stream.cancel(), let origin = self.origin { origin.transaction?.abandoned(origin.sql) }
    }

    var columns: DqliteColumns? { self.reader.columns }

    /// The next row, if it is here already.
    func nextHere() throws(DqliteError) -> DqliteRow? {
        while true {
            if self.current != nil {
                if let row = try self.checked({ reader throws(WireError) in try reader.next() }) { return row }
                self.consumed += self.current!.wireSize
                self.current = nil
                if self.consumed >= self.reportAbove { self.report() }
            }
            guard let part = self.parts.popFirst() else { return nil }
            self.current = part
            try self.checked { reader throws(WireError) in try reader.begin(part.body) }
        }
    }

    /// The next row; nil at the end.
    func next() async throws(DqliteError) -> DqliteRow? {
        while !self.isAtEnd {
            if let row = try self.nextHere() { return row }
            try await self.receive()
        }
        return nil
    }

    /// Waits for the first part, which says what the columns are.
    func begin() async throws(DqliteError) {
        try await self.receive()
        guard let part = self.parts.popFirst() else { return }
        self.current = part
        try self.checked { reader throws(WireError) in try reader.begin(part.body) }
    }

    /// Remembers the task that reads.
    func noteReader() { self.stream.reader.note() }

    private func receive() async throws(DqliteError) {
        if self.consumed > 0 { self.report() }
        do throws(DqliteError) {
            self.parts = try await self.stream.next()[...]
        } catch {
            self.isAtEnd = true
            guard let origin = self.origin else { throw error }
            self.origin?.lease = nil
            origin.transaction?.failed(error, sql: origin.sql)
            throw error.at(file: origin.file, line: origin.line, sql: origin.sql)
        }
        if self.parts.isEmpty {
            self.isAtEnd = true
            self.origin?.lease = nil
        }
    }

    private func report() {
        self.stream.consumed(self.consumed)
        self.consumed = 0
    }

    private func checked<Result>(
        _ body: (inout RowReader) throws(WireError) -> Result
    ) throws(DqliteError) -> Result {
        do throws(WireError) {
            return try body(&self.reader)
        } catch {
            self.isAtEnd = true
            let violation = DqliteError.protocolViolation("\(error)", underlying: error)
            self.stream.violation(violation)
            throw violation
        }
    }
}
