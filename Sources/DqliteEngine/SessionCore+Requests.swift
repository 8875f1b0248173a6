internal import DqliteProtocol
internal import DqliteWire

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

extension SessionCore {
    /// What Exec, Query, ExecSQL and QuerySQL have in common.
    struct StatementRequest {
        /// The SQL; nil for a prepared statement.
        var sql: UnsafeRawBufferPointer?
        var statementID: UInt32 = 0
        var parameters: ParameterCursor
    }

    func decodeStatementRequest(
        _ bytes: UnsafeRawBufferPointer, _ operation: EngineSession.Operation
    ) throws(EngineError) -> StatementRequest {
        let revision = operation.revision
        let request: StatementRequest
        let databaseID: UInt64
        do {
            switch (operation.code, self.encoding) {
            case (.exec, .dqlite):
                let view = try ExecRequestView(dqlite: bytes, revision: revision)
                databaseID = UInt64(view.databaseID)
                request = StatementRequest(statementID: view.statementID, parameters: view.parameters)
            case (.exec, .protobuf):
                let view = try ExecRequestView(protobuf: bytes)
                databaseID = UInt64(view.databaseID)
                request = StatementRequest(statementID: view.statementID, parameters: view.parameters)
            case (.query, .dqlite):
                let view = try QueryRequestView(dqlite: bytes, revision: revision)
                databaseID = UInt64(view.databaseID)
                request = StatementRequest(statementID: view.statementID, parameters: view.parameters)
            case (.query, .protobuf):
                let view = try QueryRequestView(protobuf: bytes)
                databaseID = UInt64(view.databaseID)
                request = StatementRequest(statementID: view.statementID, parameters: view.parameters)
            case (.execSQL, .dqlite):
                let view = try ExecSQLRequestView(dqlite: bytes, revision: revision)
                databaseID = view.databaseID
                request = StatementRequest(sql: view.sql, parameters: view.parameters)
            case (.execSQL, .protobuf):
                let view = try ExecSQLRequestView(protobuf: bytes)
                databaseID = view.databaseID
                request = StatementRequest(sql: view.sql, parameters: view.parameters)
            case (_, .dqlite):
                let view = try QuerySQLRequestView(dqlite: bytes, revision: revision)
                databaseID = view.databaseID
                request = StatementRequest(sql: view.sql, parameters: view.parameters)
            case (_, .protobuf):
                let view = try QuerySQLRequestView(protobuf: bytes)
                databaseID = view.databaseID
                request = StatementRequest(sql: view.sql, parameters: view.parameters)
            }
        } catch {
            throw Self.malformed(error)
        }
        try self.check(databaseID: databaseID)
        if request.parameters.count > Int(Connection.maximumParameters) {
            throw EngineError(
                code: FailureCode.range,
                message: "\(request.parameters.count) parameters: at most \(Connection.maximumParameters) are allowed")
        }
        return request
    }

    /// Prepare lies like ExecSQL without parameters, in both encodings and revisions; its view leaves the SQL in place.
    func decodePrepare(_ bytes: UnsafeRawBufferPointer) throws(EngineError) -> ExecSQLRequestView {
        let view: ExecSQLRequestView
        do {
            switch self.encoding {
            case .dqlite: view = try ExecSQLRequestView(dqlite: bytes, revision: 0)
            case .protobuf: view = try ExecSQLRequestView(protobuf: bytes)
            }
        } catch {
            throw Self.malformed(error)
        }
        try self.check(databaseID: view.databaseID)
        try self.check(sql: view.sql)
        return view
    }

    func decodeFinalize(_ bytes: UnsafeRawBufferPointer) throws(EngineError) -> UInt32 {
        let request: FinalizeRequest
        do {
            switch self.encoding {
            case .dqlite:
                var reader = WordReader(bytes, message: "FinalizeRequest")
                request = try FinalizeRequest(dqlite: &reader, revision: 0)
            case .protobuf:
                var reader = ProtobufReader(bytes, message: "FinalizeRequest")
                request = try FinalizeRequest(protobuf: &reader)
            }
        } catch {
            throw Self.malformed(error)
        }
        try self.check(databaseID: UInt64(request.databaseID))
        return request.statementID
    }

    private func check(databaseID: UInt64) throws(EngineError) {
        if databaseID != 0 {
            throw EngineError(
                code: FailureCode.notFound,
                message: "no database opened with number \(databaseID): a session has one, 0")
        }
    }

    /// SQLite would end the text at a NUL and run what is before it.
    func check(sql: UnsafeRawBufferPointer) throws(EngineError) {
        if let address = sql.baseAddress, let nul = memchr(address, 0, sql.count) {
            throw EngineError(
                code: FailureCode.error,
                message: "the SQL contains NUL, at byte \(UnsafeRawPointer(nul) - address): pass values as parameters")
        }
    }

    private static func malformed(_ error: WireError) -> EngineError {
        EngineError(code: FailureCode.malformedRequest, message: "malformed request: \(error)")
    }
}
