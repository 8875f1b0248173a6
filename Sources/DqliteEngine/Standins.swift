// Shapes of what DqliteProtocol will bring, so that this module compiles until it is there.
internal import DqliteProtocol

public enum WriteOutcome: UInt32, Hashable, Sendable { case unspecified, notCommitted, committed, unknown }

extension RequestCode {
    static let prepare = RequestCode(rawValue: 4)
    static let exec = RequestCode(rawValue: 5)
    static let query = RequestCode(rawValue: 6)
    static let finalize = RequestCode(rawValue: 7)
    static let execSQL = RequestCode(rawValue: 8)
    static let querySQL = RequestCode(rawValue: 9)
}

public struct ResultResponse: Hashable, Sendable {
    public var lastInsertRowID: Int64
    public var rowsAffected: UInt64
    public init(lastInsertRowID: Int64 = 0, rowsAffected: UInt64 = 0) {
        self.lastInsertRowID = lastInsertRowID
        self.rowsAffected = rowsAffected
    }
}

public struct StatementResponse: Hashable, Sendable {
    public var databaseID: UInt32
    public var statementID: UInt32
    public var parameterCount: UInt64
    public var tailOffset: UInt64
    public init(databaseID: UInt32 = 0, statementID: UInt32 = 0, parameterCount: UInt64 = 0, tailOffset: UInt64 = 0) {
        self.databaseID = databaseID
        self.statementID = statementID
        self.parameterCount = parameterCount
        self.tailOffset = tailOffset
    }
}

public struct File: Hashable, Sendable {
    public var name: String
    public var content: [UInt8]
    public init(name: String = "", content: [UInt8] = []) {
        self.name = name
        self.content = content
    }
}

public struct FilesResponse: Hashable, Sendable {
    public var files: [File]
    public init(files: [File] = []) { self.files = files }
}
