/// A message of an example, written as a literal: `["name": "demo.db", "flags": 0]`. Fields that are not mentioned are zero or
/// empty. A value of SQLite is its one field: `["integer": 7]`.
indirect enum Sample: Hashable, Sendable {
    case integer(Int64)
    case real(Double)
    case text(String)
    case bytes([UInt8])
    case list([Sample])
    case message([String: Sample])

    static let null: Sample = ["null": true]
    static func value(_ integer: Int64) -> Sample { ["integer": .integer(integer)] }
    static func value(_ text: String) -> Sample { ["text": .text(text)] }

    /// A field of a message.
    subscript(field: String) -> Sample? {
        guard case .message(let fields) = self else { return nil }
        return fields[field]
    }

    /// The elements of a repeated field; none when it is not set.
    var elements: [Sample] {
        guard case .list(let elements) = self else { return [] }
        return elements
    }

    /// The bits of a number.
    var bits: UInt64 {
        switch self {
        case .integer(let value): UInt64(bitPattern: value)
        case .real(let value): value.bitPattern
        case .text, .bytes, .list, .message: 0
        }
    }

    /// The bytes of text and of blobs.
    var content: [UInt8] {
        switch self {
        case .text(let text): Array(text.utf8)
        case .bytes(let bytes): bytes
        case .integer, .real, .list, .message: []
        }
    }

    /// As annotations show it.
    var shown: String {
        switch self {
        case .integer(let value): "\(value)"
        case .real(let value): "\(value)"
        case .text(let text): "\"\(text)\""
        case .bytes(let bytes): "\(bytes.count) bytes"
        case .list(let elements): "\(elements.count) elements"
        case .message: "a message"
        }
    }
}

extension Sample: ExpressibleByIntegerLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral {
    init(integerLiteral value: Int64) { self = .integer(value) }
    init(stringLiteral value: String) { self = .text(value) }
    init(arrayLiteral elements: Sample...) { self = .list(elements) }
}

extension Sample: ExpressibleByBooleanLiteral, ExpressibleByFloatLiteral, ExpressibleByDictionaryLiteral {
    init(booleanLiteral value: Bool) { self = .integer(value ? 1 : 0) }
    init(floatLiteral value: Double) { self = .real(value) }
    init(dictionaryLiteral elements: (String, Sample)...) {
        self = .message(Dictionary(elements) { first, _ in first })
    }
}

/// Bytes of an example and what they mean.
struct AnnotatedBytes {
    var bytes: [UInt8]
    var note: String

    /// Offset, bytes, characters and meaning, eight bytes a line.
    static func dump(_ parts: [AnnotatedBytes]) -> String {
        var offset = 0
        var lines: [String] = []
        for part in parts {
            for start in stride(from: 0, to: part.bytes.count, by: 8) {
                let row = part.bytes[start..<min(start + 8, part.bytes.count)]
                let hex = row.map { Self.hexadecimal(Int($0), digits: 2) }.joined(separator: " ")
                let characters = row.map { (0x20...0x7e).contains($0) ? String(UnicodeScalar($0)) : "." }.joined()
                let note = start == 0 ? part.note : ""
                let line =
                    "\(Self.hexadecimal(offset, digits: 4))  \(Self.padded(hex, to: 23))  "
                    + "\(Self.padded("|\(characters)|", to: 10))  \(note)"
                lines.append(String(line.reversed().drop { $0 == " " }.reversed()))
                offset += row.count
            }
        }
        return lines.joined(separator: "\n")
    }

    private static func hexadecimal(_ number: Int, digits: Int) -> String {
        let text = String(number, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }

    private static func padded(_ text: String, to width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
}
