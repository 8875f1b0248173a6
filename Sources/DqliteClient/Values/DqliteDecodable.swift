public import NIOCore

/// A type whose values can be read from the cells of rows.
///
/// Enumerations and other types with a raw value get the conformance by declaring it:
/// ```swift
/// enum Color: String, DqliteCodable { case red, green }
/// ```
public protocol DqliteDecodable: Sendable {
    /// Reads the value from a cell.
    ///
    /// - Throws: ``DqliteDecodingError`` when the cell holds something else; make it with ``DqliteCell/mismatch(_:as:)``.
    static func decode(from cell: DqliteCell) throws(DqliteDecodingError) -> Self
}

extension DqliteValue: DqliteDecodable {
    public static func decode(from cell: DqliteCell) throws(DqliteDecodingError) -> DqliteValue {
        switch cell.content {
        case .null: .null
        case .integer(let value): .integer(value)
        case .real(let value): .real(value)
        case .text: .text(try String.decode(from: cell))
        case .blob(let bytes): .blob(bytes)
        }
    }
}

extension FixedWidthInteger where Self: Sendable {
    static func decodeInteger(from cell: DqliteCell) throws(DqliteDecodingError) -> Self {
        guard case .integer(let value) = cell.content else { throw cell.mismatch(as: Self.self) }
        guard let exact = Self(exactly: value) else { throw cell.mismatch(.outOfRange, as: Self.self) }
        return exact
    }
}

extension Int: DqliteDecodable {
    public static func decode(from cell: DqliteCell) throws(DqliteDecodingError) -> Int {
        try self.decodeInteger(from: cell)
    }
}

extension Int8: DqliteDecodable {
    /// An INTEGER that fits; any other is an error.
    public static func decode(from cell: DqliteCell) throws(DqliteDecodingError) -> Int8 {
        try self.decodeInteger(from: cell)
    }
}

extension Int16: DqliteDecodable {
    /// An INTEGER that fits; any other is an error.
    public static func decode(from cell: DqliteCell) throws(DqliteDecodingError) -> Int16 {
        try self.decodeInteger(from: cell)
    }
}

extension Int32: DqliteDecodable {
    /// An INTEGER that fits; any other is an error.
    public static func decode(from cell: DqliteCell) throws(DqliteDecodingError) -> Int32 {
        try self.decodeInteger(from: cell)
    }
}

extension Int64: DqliteDecodable {
    public static func decode(from cell: DqliteCell) throws(DqliteDecodingError) -> Int64 {
        try self.decodeInteger(from: cell)
    }
}

extension UInt: DqliteDecodable {
    /// An INTEGER that fits; any other is an error.
    public static func decode(from cell: DqliteCell) throws(DqliteDecodingError) -> UInt {
        try self.decodeInteger(from: cell)
    }
}

extension UInt8: DqliteDecodable {
    /// An INTEGER that fits; any other is an error.
    public static func decode(from cell: DqliteCell) throws(DqliteDecodingError) -> UInt8 {
        try self.decodeInteger(from: cell)
    }
}

extension UInt16: DqliteDecodable {
    /// An INTEGER that fits; any other is an error.
    public static func decode(from cell: DqliteCell) throws(DqliteDecodingError) -> UInt16 {
        try self.decodeInteger(from: cell)
    }
}

extension UInt32: DqliteDecodable {
    /// An INTEGER that fits; any other is an error.
    public static func decode(from cell: DqliteCell) throws(DqliteDecodingError) -> UInt32 {
        try self.decodeInteger(from: cell)
    }
}

extension UInt64: DqliteDecodable {
    /// An INTEGER that fits; any other is an error.
    public static func decode(from cell: DqliteCell) throws(DqliteDecodingError) -> UInt64 {
        try self.decodeInteger(from: cell)
    }
}

extension Bool: DqliteDecodable {
    /// The INTEGER 0 or 1; any other is an error.
    public static func decode(from cell: DqliteCell) throws(DqliteDecodingError) -> Bool {
        guard case .integer(let value) = cell.content else { throw cell.mismatch(as: Bool.self) }
        switch value {
        case 0: return false
        case 1: return true
        default: throw cell.mismatch(.outOfRange, as: Bool.self)
        }
    }
}

extension Double: DqliteDecodable {
    /// A REAL, or an INTEGER that a `Double` can hold exactly: SQLite's arithmetic gives the one or the other.
    public static func decode(from cell: DqliteCell) throws(DqliteDecodingError) -> Double {
        switch cell.content {
        case .real(let value): return value
        case .integer(let value):
            guard let exact = Double(exactly: value) else { throw cell.mismatch(.outOfRange, as: Double.self) }
            return exact
        default: throw cell.mismatch(as: Double.self)
        }
    }
}

extension Float: DqliteDecodable {
    /// A REAL, rounded, or an INTEGER that a `Float` can hold exactly.
    public static func decode(from cell: DqliteCell) throws(DqliteDecodingError) -> Float {
        switch cell.content {
        case .real(let value): return Float(value)
        case .integer(let value):
            guard let exact = Float(exactly: value) else { throw cell.mismatch(.outOfRange, as: Float.self) }
            return exact
        default: throw cell.mismatch(as: Float.self)
        }
    }
}

extension String: DqliteDecodable {
    /// TEXT. SQLite does not check that it is UTF-8; what is not, is an error (``DqliteCell/bytes`` has it as it is).
    public static func decode(from cell: DqliteCell) throws(DqliteDecodingError) -> String {
        guard case .text(let bytes) = cell.content else { throw cell.mismatch(as: String.self) }
        guard let string = String(validating: bytes.readableBytesView, as: UTF8.self) else {
            throw cell.mismatch(.invalidUTF8, as: String.self)
        }
        return string
    }
}

extension ByteBuffer: DqliteDecodable {
    /// A BLOB: a slice of what was received, which keeps the part of the result alive that it lies in.
    public static func decode(from cell: DqliteCell) throws(DqliteDecodingError) -> ByteBuffer {
        guard case .blob(let bytes) = cell.content else { throw cell.mismatch(as: ByteBuffer.self) }
        return bytes
    }
}

extension [UInt8]: DqliteDecodable {
    /// A BLOB.
    public static func decode(from cell: DqliteCell) throws(DqliteDecodingError) -> [UInt8] {
        guard case .blob(let bytes) = cell.content else { throw cell.mismatch(as: [UInt8].self) }
        return [UInt8](buffer: bytes)
    }
}

extension Optional: DqliteDecodable where Wrapped: DqliteDecodable {
    /// NULL is nil.
    public static func decode(from cell: DqliteCell) throws(DqliteDecodingError) -> Wrapped? {
        if case .null = cell.content { return nil }
        return try Wrapped.decode(from: cell)
    }
}

extension RawRepresentable where Self: DqliteDecodable, RawValue: DqliteDecodable {
    public static func decode(from cell: DqliteCell) throws(DqliteDecodingError) -> Self {
        let rawValue = try RawValue.decode(from: cell)
        guard let value = Self(rawValue: rawValue) else { throw cell.mismatch(.outOfRange, as: Self.self) }
        return value
    }
}
