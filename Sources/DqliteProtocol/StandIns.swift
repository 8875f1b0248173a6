// Until the generated code lands: what the hand-written code needs of it.
public import DqliteWire

public struct RequestCode: RawRepresentable, Hashable, Sendable {
    public var rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
}
public struct ResponseCode: RawRepresentable, Hashable, Sendable {
    public var rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
}
public struct FailureResponse: Hashable, Sendable {
    public var code: UInt64
    public var message: String
    public init(code: UInt64 = 0, message: String = "") {
        self.code = code
        self.message = message
    }
}
public enum Value: Hashable, Sendable {
    case null
    case integer(Int64)
    case real(Double)
    case text(String)
    case blob([UInt8])
    case unixTime(Int64)
    case iso8601(String)
    case boolean(Bool)

    @inlinable @inline(__always) public var typeCode: UInt8 {
        switch self {
        case .integer: 1
        case .real: 2
        case .text: 3
        case .blob: 4
        case .null: 5
        case .unixTime: 9
        case .iso8601: 10
        case .boolean: 11
        }
    }
    @inlinable @inline(__always)
    public func dqliteSize(field: StaticString) throws(WireEncodingError) -> Int {
        switch self {
        case .null, .integer, .real, .unixTime, .boolean: 8
        case .text(let text), .iso8601(let text): try dqliteTextSize(text, field: field)
        case .blob(let bytes): 8 &+ roundedUpToWord(bytes.count)
        }
    }
    @inlinable @inline(__always)
    public func encodeDqlite(into writer: inout WordWriter) {
        switch self {
        case .null: writer.word(0)
        case .integer(let value), .unixTime(let value): writer.word(UInt64(bitPattern: value))
        case .real(let value): writer.word(value.bitPattern)
        case .text(let text), .iso8601(let text): writer.text(text)
        case .blob(let bytes): bytes.withUnsafeBytes { writer.blob($0) }
        case .boolean(let value): writer.word(value ? 1 : 0)
        }
    }
    @inlinable @inline(__always)
    public init(dqlite reader: inout WordReader, typeCode: UInt8) throws(WireError) {
        switch typeCode {
        case 1: self = .integer(Int64(bitPattern: try reader.word()))
        case 2: self = .real(Double(bitPattern: try reader.word()))
        case 3: self = .text(try reader.text())
        case 4: self = .blob([UInt8](try reader.blobBytes()))
        case 5:
            _ = try reader.word()
            self = .null
        case 9: self = .unixTime(Int64(bitPattern: try reader.word()))
        case 10: self = .iso8601(try reader.text())
        case 11: self = .boolean(try reader.word() != 0)
        default: throw reader.error(.invalidValue)
        }
    }
}
public enum ValueView {
    case null
    case integer(Int64)
    case real(Double)
    case text(UnsafeRawBufferPointer)
    case blob(UnsafeRawBufferPointer)
    case unixTime(Int64)
    case iso8601(UnsafeRawBufferPointer)
    case boolean(Bool)

    @inlinable @inline(__always)
    public init(dqlite reader: inout WordReader, typeCode: UInt8) throws(WireError) {
        switch typeCode {
        case 1: self = .integer(Int64(bitPattern: try reader.word()))
        case 2: self = .real(Double(bitPattern: try reader.word()))
        case 3: self = .text(try reader.textBytes())
        case 4: self = .blob(try reader.blobBytes())
        case 5:
            _ = try reader.word()
            self = .null
        case 9: self = .unixTime(Int64(bitPattern: try reader.word()))
        case 10: self = .iso8601(try reader.textBytes())
        case 11: self = .boolean(try reader.word() != 0)
        default: throw reader.error(.invalidValue)
        }
    }
    @inlinable @inline(__always)
    public init(protobuf reader: inout ProtobufReader) throws(WireError) {
        self = .null
        while let key = try reader.nextKey() {
            switch key {
            case 8: self = .integer(try reader.zigzag())
            case 17: self = .real(Double(bitPattern: try reader.fixed64()))
            case 26: self = .text(try reader.bytes())
            case 34: self = .blob(try reader.bytes())
            case 40:
                _ = try reader.varint()
                self = .null
            case 72: self = .unixTime(try reader.zigzag())
            case 82: self = .iso8601(try reader.bytes())
            case 88: self = .boolean(try reader.varint() != 0)
            default: try reader.skip(key)
            }
        }
    }
}
