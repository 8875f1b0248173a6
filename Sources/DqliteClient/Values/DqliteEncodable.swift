public import NIOCore

/// A type whose values can be parameters of a statement.
///
/// Enumerations and other types with a raw value get the conformance by declaring it:
/// ```swift
/// enum Color: String, DqliteCodable { case red, green }
/// ```
public protocol DqliteEncodable: Sendable {
    /// Appends exactly one value.
    func encode(into bindings: inout DqliteBindings)
}

/// A type whose values can be parameters and can be read from rows.
public typealias DqliteCodable = DqliteDecodable & DqliteEncodable

extension DqliteValue: DqliteEncodable {
    public func encode(into bindings: inout DqliteBindings) { bindings.append(self) }
}

extension FixedWidthInteger where Self: Sendable {
    func encodeInteger(into bindings: inout DqliteBindings) {
        // Only unsigned types of 64 bits and more can be out of range.
        guard let value = Int64(exactly: self) else {
            bindings.appendUnencodable("\(self) does not fit into an INTEGER of SQLite, which has 64 bits with sign")
            return
        }
        bindings.append(.integer(value))
    }
}

extension Int: DqliteEncodable {
    public func encode(into bindings: inout DqliteBindings) { self.encodeInteger(into: &bindings) }
}

extension Int8: DqliteEncodable {
    public func encode(into bindings: inout DqliteBindings) { self.encodeInteger(into: &bindings) }
}

extension Int16: DqliteEncodable {
    public func encode(into bindings: inout DqliteBindings) { self.encodeInteger(into: &bindings) }
}

extension Int32: DqliteEncodable {
    public func encode(into bindings: inout DqliteBindings) { self.encodeInteger(into: &bindings) }
}

extension Int64: DqliteEncodable {
    public func encode(into bindings: inout DqliteBindings) { self.encodeInteger(into: &bindings) }
}

extension UInt: DqliteEncodable {
    /// Values above `Int64.max` make the statement fail: SQLite cannot store them.
    public func encode(into bindings: inout DqliteBindings) { self.encodeInteger(into: &bindings) }
}

extension UInt8: DqliteEncodable {
    public func encode(into bindings: inout DqliteBindings) { self.encodeInteger(into: &bindings) }
}

extension UInt16: DqliteEncodable {
    public func encode(into bindings: inout DqliteBindings) { self.encodeInteger(into: &bindings) }
}

extension UInt32: DqliteEncodable {
    public func encode(into bindings: inout DqliteBindings) { self.encodeInteger(into: &bindings) }
}

extension UInt64: DqliteEncodable {
    /// Values above `Int64.max` make the statement fail: SQLite cannot store them.
    public func encode(into bindings: inout DqliteBindings) { self.encodeInteger(into: &bindings) }
}

extension Bool: DqliteEncodable {
    /// Stored as the INTEGER 0 or 1.
    public func encode(into bindings: inout DqliteBindings) { bindings.append(.integer(self ? 1 : 0)) }
}

extension Double: DqliteEncodable {
    /// SQLite stores a NaN as NULL.
    public func encode(into bindings: inout DqliteBindings) { bindings.append(.real(self)) }
}

extension Float: DqliteEncodable {
    /// SQLite stores a NaN as NULL.
    public func encode(into bindings: inout DqliteBindings) { bindings.append(.real(Double(self))) }
}

extension String: DqliteEncodable {
    public func encode(into bindings: inout DqliteBindings) { bindings.append(.text(self)) }
}

extension Substring: DqliteEncodable {
    public func encode(into bindings: inout DqliteBindings) { bindings.append(.text(String(self))) }
}

extension ByteBuffer: DqliteEncodable {
    /// The readable bytes, as a BLOB.
    public func encode(into bindings: inout DqliteBindings) { bindings.append(.blob(self)) }
}

extension [UInt8]: DqliteEncodable {
    /// The bytes, as a BLOB.
    public func encode(into bindings: inout DqliteBindings) { bindings.append(.blob(ByteBuffer(bytes: self))) }
}

extension Optional: DqliteEncodable where Wrapped: DqliteEncodable {
    /// nil is NULL.
    public func encode(into bindings: inout DqliteBindings) {
        switch self {
        case .some(let value): value.encode(into: &bindings)
        case .none: bindings.append(.null)
        }
    }
}

extension RawRepresentable where Self: DqliteEncodable, RawValue: DqliteEncodable {
    public func encode(into bindings: inout DqliteBindings) { self.rawValue.encode(into: &bindings) }
}
