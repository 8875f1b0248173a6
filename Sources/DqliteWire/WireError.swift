/// Why bytes from outside are not the message they were taken for.
public struct WireError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong.
    public enum Reason: Hashable, Sendable {
        /// The bytes end inside the message.
        case truncated
        /// A text has no NUL where it should end.
        case unterminatedText
        /// A text is not UTF-8.
        case invalidUTF8
        /// A count or a length is larger than what arrived can hold.
        case impossibleLength
        /// A type code, a constant or another value is not one that the message allows.
        case invalidValue
        /// A varint is longer than 10 bytes, or a field has an impossible number or wire type.
        case malformedField
        /// Messages contain one another more deeply than any legal message does.
        case nestedTooDeeply
    }

    /// What is wrong.
    public var reason: Reason
    /// Where it was noticed, in bytes from the beginning of the message.
    public var offset: Int
    /// Name of the message that was being read.
    public var message: String

    @inlinable
    public init(_ reason: Reason, offset: Int, message: StaticString) {
        self.reason = reason
        self.offset = offset
        self.message = "\(message)"
    }

    public var description: String {
        let problem =
            switch self.reason {
            case .truncated: "ends too early"
            case .unterminatedText: "has a text without its NUL"
            case .invalidUTF8: "has a text that is not UTF-8"
            case .impossibleLength: "has a length that exceeds what arrived"
            case .invalidValue: "has a value that is not allowed"
            case .malformedField: "has a malformed field"
            case .nestedTooDeeply: "is nested too deeply"
            }
        return "\(self.message) \(problem), at byte \(self.offset)"
    }
}

/// Why a message cannot be written in the dqlite encoding. (The protobuf encoding carries every message.)
public struct WireEncodingError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong.
    public enum Reason: Hashable, Sendable {
        /// The text holds a NUL, which ends a text of the dqlite encoding.
        case textContainsNUL
        /// More parameters than the revision can count: 255 in revision 0.
        case tooManyParameters
        /// The value is larger than its place.
        case valueTooLarge
        /// The number of values is not what another field, or the number of columns, says.
        case countMismatch
        /// The body is 32 GiB or longer.
        case messageTooLarge
        /// The body is no multiple of 8 bytes, which is what the header of a frame counts.
        case notWholeWords
    }

    /// What is wrong.
    public var reason: Reason
    /// Message and field, as `Message.field`.
    public var field: String

    @inlinable
    public init(_ reason: Reason, field: StaticString) {
        self.reason = reason
        self.field = "\(field)"
    }

    public var description: String {
        switch self.reason {
        case .textContainsNUL: "\(self.field) contains NUL, which the dqlite encoding cannot carry"
        case .tooManyParameters: "\(self.field) has more than 255 parameters: use revision 1"
        case .valueTooLarge: "\(self.field) does not fit into its place in the dqlite encoding"
        case .countMismatch: "\(self.field) has a number of values that contradicts the rest of the message"
        case .notWholeWords: "\(self.field) does not end at a multiple of 8 bytes, which a frame has to"
        case .messageTooLarge: "\(self.field) makes the message longer than the dqlite encoding allows"
        }
    }
}
