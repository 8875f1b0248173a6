import DqliteWire

/// A FileDescriptorSet as protoc writes it with `--include_imports --include_source_info`: what descriptor.proto says, as far
/// as a schema of ours can use it. It knows nothing of our options yet.
struct DescriptorSet {
    var files: [FileDescriptor] = []
}

struct FileDescriptor {
    var name = ""
    var package = ""
    var syntax = ""
    var dependencies: [String] = []
    var messages: [MessageDescriptor] = []
    var enumerations: [EnumerationDescriptor] = []
    var serviceCount = 0
    var extensionCount = 0
    /// Where things are, by their path in the descriptor.
    var locations: [[Int]: SourceLocation] = [:]
}

/// What the source says about one element of a file.
struct SourceLocation {
    /// From 1.
    var line = 0
    /// From 1.
    var column = 0
    var leadingComment = ""
    var trailingComment = ""
    var detachedComments: [String] = []
}

struct MessageDescriptor {
    var name = ""
    var fields: [FieldDescriptor] = []
    var nestedMessages: [MessageDescriptor] = []
    var enumerations: [EnumerationDescriptor] = []
    var oneofs: [String] = []
    var reservedRanges: [ClosedRange<Int>] = []
    var reservedNames: [String] = []
    var extensionRangeCount = 0
    var isMapEntry = false
    /// Options of our own, by their number: their encoded messages.
    var options: [Int: [UInt8]] = [:]
}

struct FieldDescriptor {
    var name = ""
    var number = 0
    var isRepeated = false
    var isRequired = false
    var type = 0
    var typeName = ""
    var oneofIndex: Int?
    var isProto3Optional = false
    var packed: Bool?
    var isDeprecated = false
    /// Options of our own that are messages, by their number.
    var options: [Int: [UInt8]] = [:]
    /// Options of our own that are integers or booleans, by their number.
    var flags: [Int: UInt64] = [:]
}

struct EnumerationDescriptor {
    var name = ""
    var cases: [(name: String, number: Int)] = []
    var reservedRanges: [ClosedRange<Int>] = []
    var reservedNames: [String] = []
    var allowsAlias = false
}

extension DescriptorSet {
    init(_ bytes: [UInt8]) throws(WireError) {
        let result = bytes.withUnsafeBytes { buffer -> Result<DescriptorSet, WireError> in
            do throws(WireError) {
                var reader = ProtobufReader(buffer, message: "FileDescriptorSet")
                var set = DescriptorSet()
                while let key = try reader.nextKey() {
                    guard key == .lengthDelimited(1) else {
                        try reader.skip(key)
                        continue
                    }
                    var file = try reader.nested("FileDescriptorProto")
                    set.files.append(try FileDescriptor(&file))
                }
                return .success(set)
            } catch {
                return .failure(error)
            }
        }
        self = try result.get()
    }
}

extension FileDescriptor {
    fileprivate init(_ reader: inout ProtobufReader) throws(WireError) {
        self.init()
        while let key = try reader.nextKey() {
            switch key {
            case .lengthDelimited(1): self.name = try reader.string()
            case .lengthDelimited(2): self.package = try reader.string()
            case .lengthDelimited(3): self.dependencies.append(try reader.string())
            case .lengthDelimited(4):
                var message = try reader.nested("DescriptorProto")
                self.messages.append(try MessageDescriptor(&message))
            case .lengthDelimited(5):
                var enumeration = try reader.nested("EnumDescriptorProto")
                self.enumerations.append(try EnumerationDescriptor(&enumeration))
            case .lengthDelimited(6):
                _ = try reader.bytes()
                self.serviceCount += 1
            case .lengthDelimited(7):
                _ = try reader.bytes()
                self.extensionCount += 1
            case .lengthDelimited(9):
                var info = try reader.nested("SourceCodeInfo")
                try self.readLocations(&info)
            case .lengthDelimited(12): self.syntax = try reader.string()
            default: try reader.skip(key)
            }
        }
    }

    private mutating func readLocations(_ reader: inout ProtobufReader) throws(WireError) {
        while let key = try reader.nextKey() {
            guard key == .lengthDelimited(1) else {
                try reader.skip(key)
                continue
            }
            var location = try reader.nested("Location")
            let (path, found) = try SourceLocation.read(&location)
            // A statement that may be repeated (`extend`, `reserved`) has one path more than once: the first one stands for all.
            if self.locations[path] == nil { self.locations[path] = found }
        }
    }
}

extension SourceLocation {
    fileprivate static func read(_ reader: inout ProtobufReader) throws(WireError) -> (path: [Int], Self) {
        var path: [Int] = []
        var span: [Int] = []
        var location = SourceLocation()
        while let key = try reader.nextKey() {
            switch key {
            case .lengthDelimited(1): try reader.appendPacked(to: &path)
            case .varint(1): path.append(try reader.integer())
            case .lengthDelimited(2): try reader.appendPacked(to: &span)
            case .varint(2): span.append(try reader.integer())
            case .lengthDelimited(3): location.leadingComment = try reader.string()
            case .lengthDelimited(4): location.trailingComment = try reader.string()
            case .lengthDelimited(6): location.detachedComments.append(try reader.string())
            default: try reader.skip(key)
            }
        }
        if span.count >= 2 {
            location.line = span[0] + 1
            location.column = span[1] + 1
        }
        return (path, location)
    }
}

extension MessageDescriptor {
    fileprivate init(_ reader: inout ProtobufReader) throws(WireError) {
        self.init()
        while let key = try reader.nextKey() {
            switch key {
            case .lengthDelimited(1): self.name = try reader.string()
            case .lengthDelimited(2):
                var field = try reader.nested("FieldDescriptorProto")
                self.fields.append(try FieldDescriptor(&field))
            case .lengthDelimited(3):
                var message = try reader.nested("DescriptorProto")
                self.nestedMessages.append(try MessageDescriptor(&message))
            case .lengthDelimited(4):
                var enumeration = try reader.nested("EnumDescriptorProto")
                self.enumerations.append(try EnumerationDescriptor(&enumeration))
            case .lengthDelimited(5):
                _ = try reader.bytes()
                self.extensionRangeCount += 1
            case .lengthDelimited(7):
                var options = try reader.nested("MessageOptions")
                try self.readOptions(&options)
            case .lengthDelimited(8):
                var oneof = try reader.nested("OneofDescriptorProto")
                self.oneofs.append(try oneof.nameOfDescriptor())
            case .lengthDelimited(9):
                var range = try reader.nested("ReservedRange")
                // A message's range ends before its end.
                let (start, end) = try range.range()
                self.reservedRanges.append(start...max(start, end - 1))
            case .lengthDelimited(10): self.reservedNames.append(try reader.string())
            default: try reader.skip(key)
            }
        }
    }

    private mutating func readOptions(_ reader: inout ProtobufReader) throws(WireError) {
        while let key = try reader.nextKey() {
            switch key {
            case .varint(7): self.isMapEntry = try reader.varint() != 0
            case _ where key & 7 == 2: self.options[Int(key >> 3), default: []] += Array(try reader.bytes())
            default: try reader.skip(key)
            }
        }
    }
}

extension FieldDescriptor {
    fileprivate init(_ reader: inout ProtobufReader) throws(WireError) {
        self.init()
        while let key = try reader.nextKey() {
            switch key {
            case .lengthDelimited(1): self.name = try reader.string()
            case .varint(3): self.number = try reader.integer()
            case .varint(4):
                let label = try reader.integer()
                self.isRequired = label == 2
                self.isRepeated = label == 3
            case .varint(5): self.type = try reader.integer()
            case .lengthDelimited(6): self.typeName = try reader.string()
            case .lengthDelimited(8):
                var options = try reader.nested("FieldOptions")
                try self.readOptions(&options)
            case .varint(9): self.oneofIndex = try reader.integer()
            case .varint(17): self.isProto3Optional = try reader.varint() != 0
            default: try reader.skip(key)
            }
        }
    }

    private mutating func readOptions(_ reader: inout ProtobufReader) throws(WireError) {
        while let key = try reader.nextKey() {
            switch key {
            case .varint(2): self.packed = try reader.varint() != 0
            case .varint(3): self.isDeprecated = try reader.varint() != 0
            case _ where key & 7 == 0: self.flags[Int(key >> 3)] = try reader.varint()
            case _ where key & 7 == 2: self.options[Int(key >> 3), default: []] += Array(try reader.bytes())
            default: try reader.skip(key)
            }
        }
    }
}

extension EnumerationDescriptor {
    fileprivate init(_ reader: inout ProtobufReader) throws(WireError) {
        self.init()
        while let key = try reader.nextKey() {
            switch key {
            case .lengthDelimited(1): self.name = try reader.string()
            case .lengthDelimited(2):
                var value = try reader.nested("EnumValueDescriptorProto")
                var (name, number) = ("", 0)
                while let key = try value.nextKey() {
                    switch key {
                    case .lengthDelimited(1): name = try value.string()
                    case .varint(2): number = try value.integer()
                    default: try value.skip(key)
                    }
                }
                self.cases.append((name, number))
            case .lengthDelimited(3):
                var options = try reader.nested("EnumOptions")
                while let key = try options.nextKey() {
                    if key == .varint(2) { self.allowsAlias = try options.varint() != 0 } else { try options.skip(key) }
                }
            case .lengthDelimited(4):
                var range = try reader.nested("EnumReservedRange")
                // An enumeration's range includes its end.
                let (start, end) = try range.range()
                self.reservedRanges.append(start...max(start, end))
            case .lengthDelimited(5): self.reservedNames.append(try reader.string())
            default: try reader.skip(key)
            }
        }
    }
}

extension UInt32 {
    /// The key of a field whose value is a varint.
    static func varint(_ number: UInt32) -> UInt32 { number << 3 }
    /// The key of a field whose value is preceded by its length.
    static func lengthDelimited(_ number: UInt32) -> UInt32 { number << 3 | 2 }
}

extension ProtobufReader {
    /// An `int32`.
    mutating func integer() throws(WireError) -> Int { Int(Int32(truncatingIfNeeded: try self.varint())) }

    fileprivate mutating func appendPacked(to integers: inout [Int]) throws(WireError) {
        var elements = try self.nested("packed integers")
        while !elements.isAtEnd { integers.append(try elements.integer()) }
    }

    fileprivate mutating func nameOfDescriptor() throws(WireError) -> String {
        var name = ""
        while let key = try self.nextKey() {
            if key == .lengthDelimited(1) { name = try self.string() } else { try self.skip(key) }
        }
        return name
    }

    fileprivate mutating func range() throws(WireError) -> (start: Int, end: Int) {
        var (start, end) = (0, 0)
        while let key = try self.nextKey() {
            switch key {
            case .varint(1): start = try self.integer()
            case .varint(2): end = try self.integer()
            default: try self.skip(key)
            }
        }
        return (start, end)
    }
}
