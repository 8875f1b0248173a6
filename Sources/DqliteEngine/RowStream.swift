internal import CSQLite
internal import DqliteProtocol

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// Carries the rows of a statement to a sink, part by part: each row is measured and then stored straight from SQLite's
/// memory into the sink's.
///
/// A row that has been stepped to but not yet stored stays where it is while the result is paused.
struct RowStream {
    enum End {
        /// The statement has come to its end; the result has yet to be ended.
        case statementEnded
        /// Everything is written; the last part has yet to be ended.
        case done
        case paused
        /// The snapshot shows what is not committed yet: nothing may leave before this sequence number is applied.
        case awaitsCommit(UInt64)
        /// The rows wait until this node is known to lead.
        case awaitsLeadership
        /// It has taken as long as it may on this thread.
        case goesOnElsewhere
        case stopped
        case failed(ResultCode)
        /// The text of this column.
        case cannotCarry(column: String)
    }

    private enum Next {
        case step
        /// The row that the statement is at.
        case row
        /// The end, for which a part has yet to be begun.
        case end
    }

    private var next = Next.step
    private(set) var hasStepped = false
    private var columnCount = 0
    private var partIsOpen = false
    private var partSize = 0
    private var limit = 0
    private var partCount = 0
    /// Parts that were handed to the sink.
    private(set) var partsEnded = 0
    /// Whether the result has another number of columns than when the statement was last run.
    private(set) var columnsHaveChanged = false

    /// Goes on as long as there are rows and the sink takes them.
    mutating func run<Encoder: RowsEncoder>(
        _: Encoder.Type, _ statement: Statement, _ sink: any ResponseSink, _ session: EngineSession,
        _ core: SessionCore, _ progress: Progress, _ preferredSize: Int
    ) -> End {
        let stopFlag = core.stopFlag
        while true {
            var rowSize = 0
            switch self.next {
            case .step:
                if stopFlag.isSet { return .stopped }
                if progress.isRunningLow { return .goesOnElsewhere }
                let isFirst = !self.hasStepped
                let result = statement.step()
                guard result == SQLITE_ROW || result == SQLITE_DONE else { return .failed(ResultCode(result)) }
                if isFirst { self.refreshColumns(Encoder.self, statement) }
                self.next = result == SQLITE_ROW ? .row : .end
                if result == SQLITE_DONE { return .statementEnded }
                // The first step has opened the snapshot. At the end of the statement the answer itself waits.
                if isFirst {
                    switch core.takeGateOfRows() {
                    case .none: break
                    case .commit(let sequence): return .awaitsCommit(sequence)
                    case .leadership: return .awaitsLeadership
                    }
                }
                continue
            case .row:
                if stopFlag.isSet { return .stopped }
                switch self.measure(Encoder.self, statement) {
                case .size(let size): rowSize = size
                case .noMemory: return .failed(ResultCode(SQLITE_NOMEM))
                case .cannotCarry(let column): return .cannotCarry(column: column)
                }
                let size = self.partSize + rowSize
                if self.partIsOpen, size > preferredSize || size + Encoder.finishSize(more: true) > self.limit {
                    if !self.endPart(Encoder.self, sink, session) { return .paused }
                    // The sink may have taken its time.
                    continue
                }
            case .end:
                if self.partIsOpen {
                    self.finish(Encoder.self, more: false, sink)
                    return .done
                }
            }
            if !self.partIsOpen {
                guard self.beginPart(Encoder.self, statement, rowSize, preferredSize, sink, session) else {
                    return .paused
                }
                if case .end = self.next { return .done }
            } else {
                sink.write(atLeast: rowSize) { memory in
                    var encoder = Encoder(memory, columnCount: self.columnCount)
                    self.store(&encoder, statement)
                    return encoder.count
                }
                self.partSize += rowSize
            }
            self.next = .step
        }
    }

    private mutating func refreshColumns<Encoder: RowsEncoder>(_: Encoder.Type, _ statement: Statement) {
        self.hasStepped = true
        self.columnsHaveChanged = !statement.refreshColumns(withTypes: Encoder.self == DqliteRowsEncoder.self)
        self.columnCount = statement.columnCount
    }

    // MARK: Parts

    /// Begins a part with the row that the statement is at, or with the end.
    ///
    /// - Returns: Whether the sink takes it; otherwise the result is paused.
    private mutating func beginPart<Encoder: RowsEncoder>(
        _: Encoder.Type, _ statement: Statement, _ rowSize: Int, _ preferredSize: Int, _ sink: any ResponseSink,
        _ session: EngineSession
    ) -> Bool {
        let isEnd = if case .end = self.next { true } else { false }
        let hasColumns = self.partCount == 0 || Encoder.self == DqliteRowsEncoder.self
        var size = rowSize
        if hasColumns {
            size += Encoder.columnsSize
            for column in 0..<self.columnCount {
                size += Encoder.columnNameSize(byteCount: statement.columnName(column).count)
            }
        }
        let needed = size + Encoder.finishSize(more: !isEnd)
        session.willAsk()
        let limit = sink.partLimit
        if needed > limit {
            sink.blocked(bytesNeeded: needed)
            return false
        }
        session.wasTold()
        self.limit = limit
        // Where one part was filled the next is likely to be, so that its memory need not grow bit by bit.
        let capacity = self.partCount == 0 ? needed : max(needed, min(preferredSize, limit))
        if needed > 0 {
            sink.write(atLeast: capacity) { memory in
                var encoder = Encoder(memory, columnCount: self.columnCount)
                if hasColumns {
                    encoder.beginColumns()
                    for column in 0..<self.columnCount { encoder.columnName(statement.columnName(column)) }
                }
                if isEnd { encoder.finish(more: false) } else { self.store(&encoder, statement) }
                return encoder.count
            }
        }
        self.partIsOpen = true
        self.partSize = size
        self.partCount += 1
        return true
    }

    private mutating func finish<Encoder: RowsEncoder>(_: Encoder.Type, more: Bool, _ sink: any ResponseSink) {
        let size = Encoder.finishSize(more: more)
        if size > 0 {
            sink.write(atLeast: size) { memory in
                var encoder = Encoder(memory, columnCount: self.columnCount)
                encoder.finish(more: more)
                return encoder.count
            }
        }
        self.partIsOpen = false
        self.partSize = 0
    }

    /// - Returns: Whether to go on at once.
    private mutating func endPart<Encoder: RowsEncoder>(
        _: Encoder.Type, _ sink: any ResponseSink, _ session: EngineSession
    ) -> Bool {
        self.finish(Encoder.self, more: true, sink)
        self.partsEnded += 1
        session.willAsk()
        guard sink.endPart(more: true) else { return false }
        session.wasTold()
        return true
    }

    // MARK: Rows

    private enum Measure {
        case size(Int)
        case noMemory
        case cannotCarry(column: String)
    }

    private func measure<Encoder: RowsEncoder>(_: Encoder.Type, _ statement: Statement) -> Measure {
        let handle = statement.handle
        var size = Encoder.rowSize(columnCount: self.columnCount)
        for column in 0..<self.columnCount {
            let index = Int32(truncatingIfNeeded: column)
            switch sqlite3_column_type(handle, index) {
            case SQLITE_INTEGER:
                let value = sqlite3_column_int64(handle, index)
                switch statement.columnType(column) {
                case .plain: size += Encoder.integerSize(value)
                case .time: size += Encoder.unixTimeSize(value)
                case .boolean: size += Encoder.booleanSize
                }
            case SQLITE_FLOAT:
                size += Encoder.realSize
            case SQLITE_TEXT:
                guard let text = Self.text(handle, index) else { return .noMemory }
                guard Encoder.canCarry(text: text) else {
                    return .cannotCarry(column: String(decoding: statement.columnName(column), as: UTF8.self))
                }
                // Times in text are as large as other text, in both encodings.
                size += Encoder.textSize(byteCount: text.count)
            case SQLITE_BLOB:
                guard let blob = Self.blob(handle, index) else { return .noMemory }
                size += Encoder.blobSize(byteCount: blob.count)
            default:
                size += Encoder.nullSize
            }
        }
        return .size(size)
    }

    /// Stores a row that was measured just before.
    private func store<Encoder: RowsEncoder>(_ encoder: inout Encoder, _ statement: Statement) {
        let handle = statement.handle
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        encoder.beginRow()
        for column in 0..<self.columnCount {
            let index = Int32(truncatingIfNeeded: column)
            switch sqlite3_column_type(handle, index) {
            case SQLITE_INTEGER:
                let value = sqlite3_column_int64(handle, index)
                switch statement.columnType(column) {
                case .plain: encoder.integer(value)
                case .time: encoder.unixTime(value)
                case .boolean: encoder.boolean(value != 0)
                }
            case SQLITE_FLOAT:
                encoder.real(sqlite3_column_double(handle, index))
            case SQLITE_TEXT:
                let text = Self.text(handle, index) ?? nothing
                if statement.columnType(column) == .time { encoder.iso8601(text) } else { encoder.text(text) }
            case SQLITE_BLOB:
                encoder.blob(Self.blob(handle, index) ?? nothing)
            default:
                encoder.null()
            }
        }
        encoder.endRow()
    }

    /// The bytes of a text; nil without memory, which SQLite needs for a database that is not in UTF-8.
    private static func text(_ handle: OpaquePointer, _ index: Int32) -> UnsafeRawBufferPointer? {
        guard let text = sqlite3_column_text(handle, index) else { return nil }
        return UnsafeRawBufferPointer(start: text, count: Int(sqlite3_column_bytes(handle, index)))
    }

    /// The bytes of a blob; nil without memory, which SQLite needs for a blob of zeros that is not stored yet.
    private static func blob(_ handle: OpaquePointer, _ index: Int32) -> UnsafeRawBufferPointer? {
        let blob = sqlite3_column_blob(handle, index)
        let count = Int(sqlite3_column_bytes(handle, index))
        // An empty blob has no address.
        guard count == 0 || blob != nil else { return nil }
        return UnsafeRawBufferPointer(start: blob, count: count)
    }
}
