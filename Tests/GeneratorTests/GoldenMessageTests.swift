import DqliteWire
import GoldenMessages
import Testing

/// What was generated from the golden schema does what the schema says.
@Suite struct GoldenMessageTests {
    // MARK: The protobuf encoding

    @Test func scalarsRoundTrip() throws {
        try expectRoundTrip(Scalars())
        try expectRoundTrip(
            Scalars(
                double: -0.5, int64: .min, uint64: .max, int32: -1, fixed64: 1, bool: true, string: "ä\0ö",
                bytes: [0, 255],
                text: "\0", uint32: .max, sint64: .min, color: .default, point: Point(x: -1, y: 7), farAway: 300))
        #expect(Scalars(double: -0.0).protobufBytes() == [9, 0, 0, 0, 0, 0, 0, 0, 0x80, 106, 0])
        #expect(Scalars(int32: -1).protobufBytes().count == 11 + 2)
    }

    @Test func listsRoundTrip() throws {
        try expectRoundTrip(Lists())
        try expectRoundTrip(
            Lists(
                doubles: [1, -0.0], int64s: [.min, 0, .max], uint64s: [0, 127, 128, .max], int32s: [-1, 1],
                fixed64s: [7, 8],
                bools: [true, false], strings: ["", "a"], blobs: [[], [1]], texts: ["x\0y"], uint32s: [.max, 0],
                sint64s: [.min, -1, 1], colors: [.skyBlue, .none], points: [Point(), Point(x: 1, y: 2)],
                farAway: [1, 2, 3]))
        #expect(Lists(bools: [true, false], points: [Point()]).protobufBytes() == [50, 2, 1, 0, 106, 0])
    }

    @Test func numbersThatAreNotPackedAreRead() throws {
        #expect(try decode([24, 1, 26, 1, 2, 24, 3], Lists.self).uint64s == [1, 2, 3])
    }

    @Test func constantsAreWrittenAndChecked() throws {
        let bytes = Numbers(double: 1).protobufBytes()
        #expect(try decode(bytes, Numbers.self) == Numbers(double: 1))
        #expect(throws: WireError.self) { try decode([], Numbers.self) }
        #expect(throws: WireError.self) { try decode(Array(bytes.dropLast()) + [3], Numbers.self) }
    }

    /// Of a message that occurs twice the parts are merged, as protobuf has it, also inside a oneof; another member of the
    /// oneof ends that.
    @Test func messagesThatOccurTwiceAreMerged() throws {
        let split: [UInt8] = [106, 2, 8, 1, 106, 2, 16, 6]
        #expect(try decode(split, Scalars.self) == Scalars(point: Point(x: 1, y: 3)))
        let point: [UInt8] = [10, 2, 8, 1, 10, 2, 16, 6]
        #expect(try decode(point, Either.self) == Either(left: .point(Point(x: 1, y: 3))))
        let interrupted: [UInt8] = [10, 2, 8, 1, 18, 0, 10, 2, 16, 6]
        #expect(try decode(interrupted, Either.self) == Either(left: .point(Point(x: 0, y: 3))))
        // Of numbers the last one counts, lists grow, and the constants may be missing in the second part.
        let numbers = Numbers(double: 1, wide: 7).protobufBytes()
        let twice = [26, UInt8(numbers.count)] + numbers + [26, 2, 16, 9]
        #expect(try decode(twice, Either.self) == Either(rightSide: .numbers(Numbers(double: 1, wide: 9))))
        let wrong = [26, UInt8(numbers.count)] + numbers + [26, 2, 64, 9]
        #expect(throws: WireError.self) { try decode(wrong, Either.self) }
    }

    @Test func keysAreWhatIsWritten() {
        #expect(Scalars(double: 1).protobufBytes().first == 9)
        #expect(Either.ProtobufKey.point == 10)
        #expect(Either.ProtobufKey.values == 34)
        #expect(Little.ProtobufKey.number == 16)
    }

    @Test func oneofsRoundTrip() throws {
        try expectRoundTrip(Either())
        try expectRoundTrip(Either(values: [.number(7), .nothing, .small(9)], left: .point(Point(x: 1))))
        try expectRoundTrip(Either(left: .strings(Strings(text: "a")), rightSide: .numbers(Numbers(wide: 3))))
        // The last one counts, and what is not known is passed over.
        #expect(try decode([10, 0, 18, 0, 0x98, 6, 1], Either.self) == Either(left: .strings(Strings())))
    }

    // MARK: The dqlite encoding

    @Test func numbersTakeTheirPlaces() throws {
        let numbers = Numbers(
            double: 1, wide: 2, half: 3, signed: -1, short: 4, byte: 5, color: .default, bool: true, fixed: 6)
        let bytes = try numbers.dqliteBytes()
        #expect(
            bytes == [
                0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 4, 0, 5, 0,
            ] + Array("DqGolden".utf8) + [2, 0, 7, 1, 6, 0, 0, 0, 0, 0, 0, 0])
        #expect(try decode(dqlite: bytes, Numbers.self) == numbers)
        var damaged = bytes
        damaged[12] = 1  // the upper half of a word that holds 32 bits
        #expect(throws: WireError.self) { try decode(dqlite: damaged, Numbers.self) }
        damaged = bytes
        damaged[28] = 0  // the magic number
        #expect(throws: WireError.self) { try decode(dqlite: damaged, Numbers.self) }
    }

    @Test(arguments: [
        Numbers(half: 1 << 32), Numbers(short: 1 << 16), Numbers(byte: 256), Numbers(color: Color(rawValue: 256)),
    ])
    func whatDoesNotFitIsRefused(_ numbers: Numbers) {
        #expect(throws: WireEncodingError.self) { try numbers.dqliteBytes() }
    }

    @Test func stringsRoundTrip() throws {
        let strings = Strings(text: "1234567", unpaddedText: "ab", blob: [1, 2, 3], unpaddedBlob: [4], textBytes: "ä")
        let bytes = try strings.dqliteBytes()
        #expect(bytes.count == 8 + 3 + 16 + 9 + 8 + 4)
        #expect(try decode(dqlite: bytes, Strings.self) == strings)
        for count in bytes.indices {
            #expect(throws: WireError.self) { try decode(dqlite: Array(bytes[..<count]), Strings.self) }
        }
        let error = WireEncodingError(.textContainsNUL, field: "Strings.unpaddedText")
        #expect(throws: error) { try Strings(unpaddedText: "\0").dqliteBytes() }
    }

    @Test(arguments: [0, 1] as [UInt8])
    func listsAreCounted(_ revision: UInt8) throws {
        let counted = Counted(
            point: Point(x: -1, y: revision == 0 ? 0 : -2), texts: ["a", ""], blobs: [[1], []], numbers: [.max],
            integers: [.min], colors: [.skyBlue], points: [Point(x: 3)], valueCount: 2, values: [8, 9],
            byteTexts: ["ü", "x"])
        let bytes = try counted.dqliteBytes(revision: revision)
        #expect(try decode(dqlite: bytes, Counted.self, revision: revision) == counted)
        #expect(Counted.highestRevision == 1)
        #expect(throws: WireEncodingError.self) { try Counted(valueCount: 1).dqliteBytes() }
        #expect(throws: WireEncodingError.self) { try Counted(byteTexts: ["\0"]).dqliteBytes() }
    }

    @Test func whatIsMissingAtTheEndIsEmpty() throws {
        var command = GrowCommand(first: 1, extra: 2, note: "n")
        let bytes = try command.dqliteBytes()
        #expect(try decode(dqlite: bytes, GrowCommand.self) == command)
        command.note = ""
        #expect(try decode(dqlite: bytes.dropLast(8), GrowCommand.self) == command)
        command.extra = 0
        #expect(try decode(dqlite: bytes.dropLast(16), GrowCommand.self) == command)
        #expect(throws: WireError.self) { try decode(dqlite: bytes.dropLast(24), GrowCommand.self) }
    }

    @Test func payloadsFollowTheHeader() throws {
        let parcel = Parcel(first: [1, 2], pieces: [Piece(in: 3, data: [4]), Piece(in: 5, data: [6, 7])], flag: true)
        let bytes = try parcel.dqliteBytes()
        #expect(bytes[0] == 9)
        #expect(bytes[8] == 4 + 8 + 2 * 16 + 8 + 16)
        #expect(bytes.suffix(5) == [1, 2, 4, 6, 7])
        #expect(try decode(dqlite: bytes, Parcel.self) == parcel)
        // A header without the slack.
        var shorter = bytes
        shorter.removeSubrange((16 + 52)..<(16 + 68))
        shorter[8] = 52
        #expect(try decode(dqlite: shorter, Parcel.self) == parcel)
        let piece = parcel.pieces[1]
        #expect(try decode(dqlite: try piece.dqliteBytes(), Piece.self) == piece)
    }

    @Test func commandsHaveTheirHeader() throws {
        let command = StoreCommand(rest: [1, 2, 3])
        #expect(try command.dqliteBytes() == [1, 200, 0, 0, 0, 0, 0, 0, 1, 2, 3])
        #expect(try decode(dqlite: [1, 200, 0, 0, 9, 9, 9, 9, 1, 2, 3], StoreCommand.self) == command)
        #expect(throws: WireError.self) { try decode(dqlite: [2, 200, 0, 0, 0, 0, 0, 0], StoreCommand.self) }
    }

    // MARK: Helpers

    private func expectRoundTrip<M: ProtobufEncodable & Equatable>(_ message: M) throws {
        let bytes = message.protobufBytes()
        #expect(bytes.count == message.protobufEncodedSize)
        #expect(try decode(bytes, M.self) == message)
    }

    private func decode<M: ProtobufEncodable>(_ bytes: [UInt8], _: M.Type) throws -> M {
        try bytes.withUnsafeBytes { memory in
            var reader = ProtobufReader(memory, message: M.messageName)
            return try M(protobuf: &reader)
        }
    }

    private func decode<M: DqliteEncodable>(dqlite bytes: [UInt8], _: M.Type, revision: UInt8 = 0) throws -> M {
        try bytes.withUnsafeBytes { memory in
            var reader = WordReader(memory, message: M.messageName)
            let message = try M(dqlite: &reader, revision: revision)
            #expect(reader.isAtEnd)
            return message
        }
    }
}
