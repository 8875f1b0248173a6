import Foundation
import Testing

/// What the architecture says must never be, held against the imports of every file.
@Suite struct ModuleArrowTests {
    /// The rooms that have rules, and the modules of ours and others' that each may import. What is not listed is refused,
    /// apart from the platform's C library and the standard library's own modules.
    static let allowed: [String: Set<String>] = [
        "DqliteWire": [],
        "DqliteProtocol": ["DqliteWire"],
        "DqliteFraming": ["DqliteProtocol", "DqliteWire", "NIOCore"],
        "DqliteRaft": [],
        "DqliteLog": ["DqliteProtocol", "DqliteRaft", "DqliteWire"],
        "DqliteEngine": ["CReplicaPager", "CSQLite", "DqliteProtocol", "DqliteRaft", "DqliteWire"],
        "DqliteNode": [
            "DqliteEngine", "DqliteFraming", "DqliteLog", "DqliteProtocol", "DqliteRaft", "DqliteWire", "Logging",
            "Metrics", "NIOCore", "NIOPosix", "ServiceLifecycle",
        ],
        "DqliteClient": [
            "DqliteFraming", "DqliteProtocol", "DqliteWire", "Logging", "NIOCore", "NIOPosix", "ServiceLifecycle",
        ],
        "DqliteTesting": [
            "DqliteNode", "Foundation", "FoundationEssentials", "Logging", "NIOCore", "NIOPosix", "ServiceLifecycle",
        ],
        "dqlite": [
            "ArgumentParser", "DqliteNode", "Logging", "NIOCore", "NIOPosix", "ServiceLifecycle", "UnixSignals",
        ],
    ]
    static let platform: Set<String> = ["Darwin", "Dispatch", "Glibc", "Musl", "Synchronization"]

    @Test func everyModuleHasRules() throws {
        let folders = try FileManager.default.contentsOfDirectory(atPath: Repository.root + "/Sources")
            .filter { !$0.hasPrefix(".") && !$0.hasPrefix("C") }
        #expect(Set(folders) == Set(Self.allowed.keys))
    }

    @Test(arguments: allowed.keys.sorted())
    func importsOnlyWhatItMay(module: String) throws {
        let allowed = try #require(Self.allowed[module])
        let files = try Repository.swiftFiles(under: "Sources/\(module)")
        #expect(!files.isEmpty)
        for file in files {
            for imported in try Repository.imports(of: file) where imported != module {
                #expect(
                    allowed.contains(imported) || Self.platform.contains(imported),
                    "\(file) imports \(imported), which \(module) must not know")
            }
        }
    }

    /// C sees libraries through their headers; the same rule holds for what these modules include.
    @Test(arguments: [
        ("CDqliteProtocol", ["protobuf-c/protobuf-c.h"]),
        ("CReplicaPager", ["sqlite3.h"]),
    ])
    func includesOnlyWhatItMay(module: String, libraries: [String]) throws {
        let root = Repository.root + "/Sources/" + module
        let files = try #require(FileManager.default.enumerator(atPath: root))
            .compactMap { $0 as? String }.filter { $0.hasSuffix(".h") || $0.hasSuffix(".c") }
        #expect(!files.isEmpty)
        let own = Set(files.map { $0.split(separator: "/").last! })
        let posix = /(errno|fcntl|pthread|sched|std[a-z]+|string|time|unistd|sys\/[a-z]+)\.h/
        for file in files {
            for line in try String(contentsOfFile: root + "/" + file, encoding: .utf8).split(separator: "\n")
            where line.hasPrefix("#include") {
                let header = line.drop { $0 != "<" && $0 != "\"" }.dropFirst().prefix { $0 != ">" && $0 != "\"" }
                #expect(
                    libraries.contains(String(header)) || own.contains(header.split(separator: "/").last ?? "")
                        || header.wholeMatch(of: posix) != nil,
                    "\(module)/\(file) includes \(header)")
            }
        }
    }
}
