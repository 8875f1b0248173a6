import DqliteFuzzing
import DqliteProtocol
import DqliteWire
import ProtobufOracle
import Testing

/// Every message of the schema, ours beside those of the oracles.
struct MessageCase: Sendable, CustomTestStringConvertible {
    let name: String
    let type: any WireMessage.Type
    let oracle: OracleMessage

    var testDescription: String { self.name }

    static let all: [MessageCase] = allMessages.map { type in
        MessageCase(
            name: "\(type.messageName)", type: type,
            oracle: oracleMessages.first { $0.name == "\(type.messageName)" }!)
    }

    var protobufType: (any ProtobufEncodable.Type)? { self.type as? any ProtobufEncodable.Type }
    var dqliteType: (any DqliteEncodable.Type)? { self.type as? any DqliteEncodable.Type }

    /// The revisions that the message has on the dqlite encoding.
    var revisions: ClosedRange<UInt8> { 0...(self.dqliteType?.highestRevision ?? 0) }
}

extension ProtobufEncodable {
    /// The message in the bytes.
    static func decode(protobuf bytes: [UInt8]) throws(WireError) -> Self {
        // Into a variable, since the closure of withUnsafeBytes does not throw this type of error.
        var result: Result<Self, WireError>?
        bytes.withUnsafeBytes { memory in
            do throws(WireError) {
                var reader = ProtobufReader(memory, message: Self.messageName)
                result = .success(try Self(protobuf: &reader))
            } catch { result = .failure(error) }
        }
        return try result!.get()
    }
}

extension DqliteEncodable {
    /// The message that the bytes are; they must be nothing else.
    static func decode(dqlite bytes: [UInt8], revision: UInt8 = 0, all: Bool = true) throws(WireError) -> Self {
        var result: Result<Self, WireError>?
        bytes.withUnsafeBytes { memory in
            do throws(WireError) {
                var reader = WordReader(memory, message: Self.messageName)
                let message = try Self(dqlite: &reader, revision: revision)
                guard reader.isAtEnd || !all else { throw reader.error(.impossibleLength) }
                result = .success(message)
            } catch { result = .failure(error) }
        }
        return try result!.get()
    }
}
