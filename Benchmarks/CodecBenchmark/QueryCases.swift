import CDqliteProtocol
import DqliteProtocol
import DqliteWire
import ProtobufOracle
import SwiftProtobuf

/// What is measured on the query with three parameters.
func queryCases() throws -> [Measurement] {
    let scratch = Scratch()
    let message = Messages.request
    let dqlite = try message.dqliteBytes()
    let protobuf = message.protobufBytes()
    let swiftMessage = try Dqlite_QuerySQLRequest(serializedBytes: protobuf)
    let cMessage = protobuf.withUnsafeBufferPointer {
        dqlite__query_sqlrequest__unpack(nil, $0.count, $0.baseAddress)!
    }

    return [
        Measurement("dqlite encode") { count in
            for _ in 0..<count { consume(scratch.encodeDqlite(message)) }
        },
        Measurement("dqlite decode, lazy") { count in
            dqlite.withUnsafeBytes { bytes in
                for _ in 0..<count {
                    guard var view = try? QuerySQLRequestView(dqlite: bytes, revision: 0) else { return }
                    var total = view.sql.count
                    while let value = try? view.parameters.next() { total &+= touch(value) }
                    consume(total)
                }
            }
        },
        Measurement("dqlite decode, structs") { count in
            dqlite.withUnsafeBytes { bytes in
                for _ in 0..<count {
                    var reader = WordReader(bytes, message: "QuerySQLRequest")
                    guard let request = try? QuerySQLRequest(dqlite: &reader, revision: 0) else { return }
                    consume(request.parameters.count)
                }
            }
        },
        Measurement("protobuf encode") { count in
            for _ in 0..<count { consume(scratch.encodeProtobuf(message)) }
        },
        Measurement("protobuf decode, lazy") { count in
            protobuf.withUnsafeBytes { bytes in
                for _ in 0..<count {
                    guard var view = try? QuerySQLRequestView(protobuf: bytes) else { return }
                    var total = view.sql.count
                    while let value = try? view.parameters.next() { total &+= touch(value) }
                    consume(total)
                }
            }
        },
        Measurement("protobuf decode, structs") { count in
            protobuf.withUnsafeBytes { bytes in
                for _ in 0..<count {
                    var reader = ProtobufReader(bytes, message: "QuerySQLRequest")
                    guard let request = try? QuerySQLRequest(protobuf: &reader) else { return }
                    consume(request.parameters.count)
                }
            }
        },
        Measurement("swift-protobuf encode") { count in
            for _ in 0..<count {
                guard let bytes: [UInt8] = try? swiftMessage.serializedBytes() else { return }
                consume(bytes.count)
            }
        },
        Measurement("swift-protobuf decode") { count in
            for _ in 0..<count {
                guard let request = try? Dqlite_QuerySQLRequest(serializedBytes: protobuf) else { return }
                consume(request.parameters.count)
            }
        },
        Measurement("protobuf-c encode") { count in
            let output = scratch.memory.baseAddress!.assumingMemoryBound(to: UInt8.self)
            for _ in 0..<count {
                // As for ours: the size first, to know that there is room.
                let size = dqlite__query_sqlrequest__get_packed_size(cMessage)
                guard size <= scratch.memory.count else { return }
                consume(dqlite__query_sqlrequest__pack(cMessage, output))
            }
        },
        Measurement("protobuf-c decode") { count in
            protobuf.withUnsafeBufferPointer { bytes in
                for _ in 0..<count {
                    let request = dqlite__query_sqlrequest__unpack(nil, bytes.count, bytes.baseAddress)!
                    consume(request.pointee.n_parameters)
                    dqlite__query_sqlrequest__free_unpacked(request, nil)
                }
            }
        },
    ]
}
