import CDqliteProtocol
import DqliteProtocol
import DqliteWire
import ProtobufOracle
import SwiftProtobuf

/// What is measured on the result of 10 rows by 4 columns.
func rowsCases() throws -> [Measurement] {
    let scratch = Scratch()
    let message = Messages.rows
    let dqlite = try message.dqliteBytes()
    let protobuf = message.protobufBytes()
    let swiftMessage = try Dqlite_RowsResponse(serializedBytes: protobuf)
    let cMessage = protobuf.withUnsafeBufferPointer {
        dqlite__rows_response__unpack(nil, $0.count, $0.baseAddress)!
    }
    let cells = CellSource(message)

    return [
        Measurement("dqlite encode") { count in
            for _ in 0..<count { consume(scratch.encodeDqlite(message)) }
        },
        Measurement("dqlite encode, from cells") { count in
            for _ in 0..<count { consume(cells.encode(DqliteRowsEncoder.self, into: scratch.memory)) }
        },
        Measurement("dqlite decode, lazy") { count in
            dqlite.withUnsafeBytes { bytes in
                for _ in 0..<count { consume((try? walk(try RowCursor(dqlite: bytes))) ?? 0) }
            }
        },
        Measurement("dqlite decode, structs") { count in
            dqlite.withUnsafeBytes { bytes in
                for _ in 0..<count {
                    var reader = WordReader(bytes, message: "RowsResponse")
                    guard let rows = try? RowsResponse(dqlite: &reader, revision: 0) else { return }
                    consume(rows.values.count)
                }
            }
        },
        Measurement("protobuf encode") { count in
            for _ in 0..<count { consume(scratch.encodeProtobuf(message)) }
        },
        Measurement("protobuf encode, from cells") { count in
            for _ in 0..<count { consume(cells.encode(ProtobufRowsEncoder.self, into: scratch.memory)) }
        },
        Measurement("protobuf decode, lazy") { count in
            protobuf.withUnsafeBytes { bytes in
                for _ in 0..<count { consume((try? walk(try RowCursor(protobuf: bytes))) ?? 0) }
            }
        },
        Measurement("protobuf decode, structs") { count in
            protobuf.withUnsafeBytes { bytes in
                for _ in 0..<count {
                    var reader = ProtobufReader(bytes, message: "RowsResponse")
                    guard let rows = try? RowsResponse(protobuf: &reader) else { return }
                    consume(rows.values.count)
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
                guard let rows = try? Dqlite_RowsResponse(serializedBytes: protobuf) else { return }
                consume(rows.values.count)
            }
        },
        Measurement("protobuf-c encode") { count in
            let output = scratch.memory.baseAddress!.assumingMemoryBound(to: UInt8.self)
            for _ in 0..<count {
                let size = dqlite__rows_response__get_packed_size(cMessage)
                guard size <= scratch.memory.count else { return }
                consume(dqlite__rows_response__pack(cMessage, output))
            }
        },
        Measurement("protobuf-c decode") { count in
            protobuf.withUnsafeBufferPointer { bytes in
                for _ in 0..<count {
                    let rows = dqlite__rows_response__unpack(nil, bytes.count, bytes.baseAddress)!
                    consume(rows.pointee.n_values)
                    dqlite__rows_response__free_unpacked(rows, nil)
                }
            }
        },
    ]
}

/// Every value of every row, in place.
@inline(__always)
func walk(_ start: RowCursor) throws(WireError) -> Int {
    var cursor = start
    var total = 0
    while try cursor.nextRow() {
        for _ in 0..<cursor.columnCount { total &+= touch(try cursor.nextValue()) }
    }
    return total
}

/// Cells as SQLite gives them out: numbers, and pointers to bytes. What it costs to get them there is not measured.
struct CellSource {
    let names: [UnsafeRawBufferPointer]
    let cells: [ValueView]

    init(_ rows: RowsResponse) {
        func keep(_ bytes: some Collection<UInt8>) -> UnsafeRawBufferPointer {
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
            memory.copyBytes(from: bytes)
            return UnsafeRawBufferPointer(memory)
        }
        self.names = rows.columns.map { keep($0.utf8) }
        self.cells = rows.values.map { value in
            switch value {
            case .null: .null
            case .integer(let value): .integer(value)
            case .real(let value): .real(value)
            case .text(let text): .text(keep(text.utf8))
            case .blob(let bytes): .blob(keep(bytes))
            case .unixTime(let value): .unixTime(value)
            case .iso8601(let text): .iso8601(keep(text.utf8))
            case .boolean(let value): .boolean(value)
            }
        }
    }

    /// As the engine does it: a row is measured, then stored.
    @inline(__always)
    func encode<Encoder: RowsEncoder>(_: Encoder.Type, into memory: UnsafeMutableRawBufferPointer) -> Int {
        var encoder = Encoder(memory, columnCount: self.names.count)
        encoder.beginColumns()
        for name in self.names { encoder.columnName(name) }
        var first = 0
        while first < self.cells.count {
            let row = first..<first &+ self.names.count
            var size = Encoder.rowSize(columnCount: self.names.count)
            for index in row {
                switch self.cells[index] {
                case .null: size &+= Encoder.nullSize
                case .integer(let value): size &+= Encoder.integerSize(value)
                case .real: size &+= Encoder.realSize
                case .text(let bytes):
                    guard Encoder.canCarry(text: bytes) else { return 0 }
                    size &+= Encoder.textSize(byteCount: bytes.count)
                case .blob(let bytes): size &+= Encoder.blobSize(byteCount: bytes.count)
                case .unixTime(let value): size &+= Encoder.unixTimeSize(value)
                case .iso8601(let bytes): size &+= Encoder.iso8601Size(byteCount: bytes.count)
                case .boolean: size &+= Encoder.booleanSize
                }
            }
            guard memory.count - encoder.count >= size else { return 0 }
            encoder.beginRow()
            for index in row {
                switch self.cells[index] {
                case .null: encoder.null()
                case .integer(let value): encoder.integer(value)
                case .real(let value): encoder.real(value)
                case .text(let bytes): encoder.text(bytes)
                case .blob(let bytes): encoder.blob(bytes)
                case .unixTime(let value): encoder.unixTime(value)
                case .iso8601(let bytes): encoder.iso8601(bytes)
                case .boolean(let value): encoder.boolean(value)
                }
            }
            encoder.endRow()
            first = row.upperBound
        }
        encoder.finish(more: false)
        return encoder.count
    }
}
