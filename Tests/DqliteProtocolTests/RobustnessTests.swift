import DqliteFuzzing
import DqliteProtocol
import DqliteWire
import Foundation
import TestSupport
import Testing

/// Whatever arrives: no decoder traps or reads too far, and what decodes encodes to the same. (The fuzz targets check both;
/// here they are run on what random messages become when they are cut or damaged.)
@Suite struct RobustnessTests {
    @Test(arguments: MessageCase.all)
    func survivesEveryTruncation(_ message: MessageCase) throws {
        try self.forEachInput(message, rounds: 6) { target, input in
            for count in 0..<input.count { try self.run(target, Array(input[0..<count])) }
        }
    }

    @Test(arguments: MessageCase.all)
    func survivesDamage(_ message: MessageCase) throws {
        var random = SeededRandom(name: "damage \(message.name)")
        try self.forEachInput(message, rounds: 12) { target, input in
            for _ in 0..<100 {
                var damaged = input
                for _ in 0..<Int.random(in: 1...4, using: &random) where damaged.count > 2 {
                    let place = Int.random(in: 2..<damaged.count, using: &random)
                    switch Int.random(in: 0..<5, using: &random) {
                    case 0: damaged[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                    case 1: damaged[place] = UInt8.random(in: 0...255, using: &random)
                    case 2: damaged[place] = [0, 0x7f, 0x80, 0xff, 0xee].randomElement(using: &random)!
                    case 3: damaged.remove(at: place)
                    default:
                        // A whole word: that is where counts and lengths are.
                        let word = (place - 2) / 8 * 8 + 2
                        for index in word..<min(word + 8, damaged.count) {
                            damaged[index] =
                                Bool.random(using: &random) ? 0xff : UInt8.random(in: 0...255, using: &random)
                        }
                    }
                }
                try self.run(target, damaged)
            }
        }
    }

    private func run(_ target: FuzzTarget, _ input: [UInt8]) throws {
        try input.withUnsafeBytes { try target.run($0) }
    }

    private func forEachInput(
        _ message: MessageCase, rounds: Int, _ body: (FuzzTarget, [UInt8]) throws -> Void
    ) throws {
        let factory = try MessageFactory()
        var random = SeededRandom(name: "robustness \(message.name)")
        for round in 0..<rounds {
            let bytes = factory.bytes(of: message.name, round == 0 ? .full : .random, using: &random)
            if let input = FuzzTarget.protobuf.input(message.type, revision: 0, bytes: bytes) {
                try body(.protobuf, input)
            }
            for revision in message.revisions {
                for target in FuzzTarget.allCases where target != .protobuf {
                    let decoded = try message.protobufType?.decode(protobuf: bytes)
                    guard let encoded = try? (decoded as? any DqliteEncodable)?.dqliteBytes(revision: revision),
                        let input = target.input(message.type, revision: revision, bytes: encoded)
                    else { continue }
                    try body(target, input)
                }
            }
        }
    }
}
