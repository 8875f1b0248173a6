public import NIOCore

/// A value of SQLite: what a parameter is bound to and what a cell of a row holds.
public enum DqliteValue: Hashable, Sendable {
    /// NULL.
    case null
    /// INTEGER: 64 bits, signed.
    case integer(Int64)
    /// REAL: IEEE 754, 64 bits. SQLite stores a NaN as NULL.
    case real(Double)
    /// TEXT.
    case text(String)
    /// BLOB.
    case blob(ByteBuffer)
}

/// The storage classes of SQLite.
public enum DqliteDataType: Hashable, Sendable, CustomStringConvertible {
    case null
    case integer
    case real
    case text
    case blob

    /// The name that SQLite uses.
    public var description: String {
        switch self {
        case .null: "NULL"
        case .integer: "INTEGER"
        case .real: "REAL"
        case .text: "TEXT"
        case .blob: "BLOB"
        }
    }
}

extension DqliteValue {
    /// The storage class of the value.
    public var dataType: DqliteDataType {
        switch self {
        case .null: .null
        case .integer: .integer
        case .real: .real
        case .text: .text
        case .blob: .blob
        }
    }
}

extension DqliteValue: ExpressibleByNilLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByStringLiteral, ExpressibleByBooleanLiteral
{
    public init(nilLiteral: ()) { self = .null }
    public init(integerLiteral value: Int64) { self = .integer(value) }
    public init(floatLiteral value: Double) { self = .real(value) }
    public init(stringLiteral value: String) { self = .text(value) }
    public init(booleanLiteral value: Bool) { self = .integer(value ? 1 : 0) }
}
