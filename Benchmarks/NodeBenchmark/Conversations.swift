import DqliteFraming
import DqliteProtocol
import NIOCore

/// 64 bytes there and back.
struct EchoConversation: Conversation {
    func opening() -> [ByteBuffer] { [] }
    func request(number: Int) -> ByteBuffer { ByteBuffer(repeating: UInt8(truncatingIfNeeded: number), count: 64) }
    func takeAnswer(from received: inout ByteBuffer) -> Bool { received.readSlice(length: 64) != nil }
}

/// One row by its key, in the dqlite encoding.
struct SelectConversation: Conversation {
    static let database = "benchmark.db"
    static let sql = "SELECT id, name, price FROM item WHERE id = ?"

    var rows: Int
    var prepared: Bool

    func opening() -> [ByteBuffer] {
        var first = ByteBuffer(integer: Preface.dqlite, endianness: .little)
        write(OpenRequest(name: Self.database), to: &first)
        guard self.prepared else { return [first] }
        var second = ByteBuffer()
        write(PrepareRequest(databaseID: 0, sql: Self.sql), to: &second)
        return [first, second]
    }

    func request(number: Int) -> ByteBuffer {
        let key = Value.integer(Int64(number % self.rows + 1))
        var buffer = ByteBuffer()
        if self.prepared {
            write(QueryRequest(databaseID: 0, statementID: 0, parameters: [key]), to: &buffer)
        } else {
            write(QuerySQLRequest(databaseID: 0, sql: Self.sql, parameters: [key]), to: &buffer)
        }
        return buffer
    }

    func takeAnswer(from received: inout ByteBuffer) -> Bool {
        var decoder = DqliteFrameDecoder(maximumBodySize: 1 << 20)
        guard let frame = try? decoder.decode(buffer: &received) else { return false }
        precondition(frame.header.code != ResponseCode.failure.rawValue, "the node answered with a failure")
        return true
    }

    private func write(_ message: some RequestMessage, to buffer: inout ByteBuffer) {
        do { try buffer.writeDqliteRequest(message) } catch { preconditionFailure("\(error)") }
    }
}

/// One row by its key, in the protobuf encoding, on a session.
struct EnvelopeConversation: Conversation {
    var rows: Int

    func opening() -> [ByteBuffer] {
        var buffer = ByteBuffer(integer: Preface.protobuf, endianness: .little)
        buffer.writeEnvelope(
            Request(requestID: 1, sessionID: 1, body: .open(OpenRequest(name: SelectConversation.database))))
        return [buffer]
    }

    func request(number: Int) -> ByteBuffer {
        let key = Value.integer(Int64(number % self.rows + 1))
        let query = QuerySQLRequest(databaseID: 0, sql: SelectConversation.sql, parameters: [key])
        var buffer = ByteBuffer()
        buffer.writeEnvelope(
            Request(requestID: UInt64(number) + 2, sessionID: 1, window: 1 << 20, body: .querySQL(query)))
        return buffer
    }

    func takeAnswer(from received: inout ByteBuffer) -> Bool {
        var decoder = EnvelopeDecoder(maximumSize: 1 << 20)
        guard let envelope = try? decoder.decode(buffer: &received) else { return false }
        let response: Response? = try? envelope.protobufMessage()
        if case .failure(let failure)? = response?.body { preconditionFailure(failure.message) }
        return true
    }
}
