public import DqliteWire

/// Walks the parameters of a request, in either encoding, without copying them: valid no longer than the bytes are.
public struct ParameterCursor {
    /// How many parameters there are.
    public let count: Int

    @usableFromInline var words: WordReader
    @usableFromInline var types: UnsafeRawBufferPointer
    @usableFromInline var fields: ProtobufReader
    /// Key of the parameters in the request; 0: the dqlite encoding.
    @usableFromInline let key: UInt32
    @usableFromInline var index = 0

    /// The tuple that lies here in the dqlite encoding; the reader passes over its head only.
    @inlinable @inline(__always)
    public init(dqlite reader: inout WordReader, revision: UInt8) throws(WireError) {
        let header = try decodeDqliteTupleHeader(from: &reader, revision: revision)
        self.count = header.count
        self.types = header.types
        self.words = reader
        self.fields = ProtobufReader(UnsafeRawBufferPointer(start: nil, count: 0), message: "")
        self.key = 0
    }

    /// The parameters in a request of the protobuf encoding: its `count` fields with this key.
    @inlinable @inline(__always)
    public init(protobuf request: UnsafeRawBufferPointer, key: UInt32, count: Int, message: StaticString) {
        self.count = count
        self.types = UnsafeRawBufferPointer(start: nil, count: 0)
        self.words = WordReader(UnsafeRawBufferPointer(start: nil, count: 0), message: "")
        self.fields = ProtobufReader(request, message: message)
        self.key = key
    }

    /// The next parameter; nil after the last.
    @inlinable @inline(__always)
    public mutating func next() throws(WireError) -> ValueView? {
        guard self.index < self.count else { return nil }
        if self.key == 0 {
            let code = self.types[self.index]
            self.index &+= 1
            return try ValueView(dqlite: &self.words, typeCode: code)
        }
        while let key = try self.fields.nextKey() {
            if key == self.key {
                self.index &+= 1
                var value = try self.fields.nested("Value")
                return try ValueView(protobuf: &value)
            }
            try self.fields.skip(key)
        }
        return nil
    }
}
