// swift-tools-version: 6.2
import PackageDescription

/// What every Swift target is compiled with.
let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

let package = Package(
    name: "swift-dqlite",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "DqliteClient", targets: ["DqliteClient"]),
        .library(name: "DqliteNode", targets: ["DqliteNode"]),
        .library(name: "DqliteProtocol", targets: ["DqliteProtocol"]),
        .library(name: "CDqliteProtocol", targets: ["CDqliteProtocol"]),
        .library(name: "DqliteTesting", targets: ["DqliteTesting"]),
        .executable(name: "dqlite", targets: ["dqlite"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // The protocol: primitives, generated messages, their C twins, and how they lie in NIO's buffers.
        .target(name: "DqliteWire", swiftSettings: settings),
        .target(name: "DqliteProtocol", dependencies: ["DqliteWire"], swiftSettings: settings),
        .systemLibrary(
            name: "CProtobufC", pkgConfig: "libprotobuf-c",
            providers: [.apt(["libprotobuf-c-dev"]), .brew(["protobuf-c"])]),
        .target(name: "CDqliteProtocol", dependencies: ["CProtobufC"]),
        .target(
            name: "DqliteFraming",
            dependencies: ["DqliteProtocol", "DqliteWire", .product(name: "NIOCore", package: "swift-nio")],
            swiftSettings: settings),

        // The log.
        .target(name: "DqliteRaft", swiftSettings: settings),
        .target(
            name: "DqliteLog", dependencies: ["DqliteProtocol", "DqliteRaft", "DqliteWire"], swiftSettings: settings),
        .executableTarget(
            name: "log-benchmark", dependencies: ["DqliteLog", "DqliteRaft"], path: "Benchmarks/LogBenchmark",
            swiftSettings: settings),

        // The node.
        .systemLibrary(
            name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"]), .brew(["sqlite3"])]),
        .target(name: "CReplicaPager", dependencies: ["CSQLite"]),
        .target(
            name: "DqliteEngine",
            dependencies: ["CReplicaPager", "CSQLite", "DqliteProtocol", "DqliteRaft", "DqliteWire"],
            swiftSettings: settings),
        .target(
            name: "DqliteNode",
            dependencies: [
                "DqliteEngine", "DqliteFraming", "DqliteLog", "DqliteProtocol", "DqliteRaft", "DqliteWire",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "dqlite",
            dependencies: [
                "DqliteNode",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings),

        // A cluster in the process of a test.
        .target(
            name: "DqliteTesting",
            dependencies: [
                "DqliteNode",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings),

        // The client.
        .target(
            name: "DqliteClient",
            dependencies: [
                "DqliteFraming", "DqliteProtocol", "DqliteWire",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "demo",
            dependencies: [
                "CSQLite", "DqliteClient", "DqliteNode",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            path: "Examples/Demo", swiftSettings: settings),

        .target(
            name: "BenchmarkSupport", dependencies: [.product(name: "NIOCore", package: "swift-nio")],
            path: "Benchmarks/BenchmarkSupport", swiftSettings: settings),
        .executableTarget(
            name: "cluster-benchmark",
            dependencies: [
                "BenchmarkSupport", "DqliteClient", "DqliteFraming", "DqliteProtocol", "NodeProcess", "TestSupport",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            path: "Benchmarks/ClusterBenchmark", exclude: ["CNode"], swiftSettings: settings),
        .target(name: "AllocationCounter", path: "Benchmarks/AllocationCounter"),
        .executableTarget(
            name: "codec-benchmark",
            dependencies: [
                "AllocationCounter", "CDqliteProtocol", "DqliteProtocol", "DqliteWire", "ProtobufOracle",
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            path: "Benchmarks/CodecBenchmark", swiftSettings: settings),
        .executableTarget(
            name: "node-benchmark",
            dependencies: [
                "BenchmarkSupport", "CSQLite", "DqliteClient", "DqliteFraming", "DqliteProtocol", "NodeProcess",
                "TestSupport", .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            path: "Benchmarks/NodeBenchmark", swiftSettings: settings),

        // The generator of the protocol.
        .executableTarget(
            name: "ProtocolGenerator",
            dependencies: ["DqliteWire", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            path: "Generator/ProtocolGenerator", swiftSettings: settings),

        // Programs that start nodes as processes of their own.
        .target(name: "NodeProcess", path: "Tests/NodeProcess", swiftSettings: settings),
        .executableTarget(
            name: "crash-test",
            dependencies: [
                "CSQLite", "DqliteClient", "DqliteLog", "DqliteProtocol", "DqliteRaft", "DqliteWire", "NodeProcess",
                "TestSupport", .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Tests/CrashTest", swiftSettings: settings),
        .target(
            name: "TortureChecks", dependencies: ["TestSupport"], path: "Tests/TortureChecks", swiftSettings: settings),
        .executableTarget(
            name: "torture",
            dependencies: [
                "DqliteClient", "DqliteFraming", "NodeProcess", "TestSupport", "TortureChecks",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            path: "Tests/Torture", swiftSettings: settings),

        // Tests.
        .testTarget(
            name: "TortureTests",
            dependencies: [
                "TestSupport", "TortureChecks", "torture", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .testTarget(name: "ArchitectureTests", swiftSettings: settings),
        .testTarget(name: "DemoTests", dependencies: ["demo"], swiftSettings: settings),
        .target(
            name: "CReplicaPagerPrograms", dependencies: ["CReplicaPager"],
            path: "Tests/CReplicaPagerTests/Programs", exclude: ["main.c"]),
        .testTarget(
            name: "CReplicaPagerTests", dependencies: ["CReplicaPagerPrograms"], exclude: ["Programs"],
            swiftSettings: settings),
        .testTarget(
            name: "DqliteFramingTests",
            dependencies: [
                "DqliteFraming", "DqliteProtocol", "DqliteWire", .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: settings),
        // What the generator makes of a schema with everything that the real one lacks.
        .target(
            name: "GoldenMessages", dependencies: ["DqliteWire"], path: "Tests/GoldenMessages", exclude: ["schema"],
            swiftSettings: settings),
        .testTarget(name: "DqliteWireTests", dependencies: ["DqliteWire"], swiftSettings: settings),
        // What libFuzzer runs (see scripts/fuzz), and the tests as well.
        .target(
            name: "DqliteFuzzing", dependencies: ["DqliteProtocol", "DqliteWire"], path: "Fuzz/Targets",
            swiftSettings: settings),
        // The schema in two other implementations of protobuf: for tests and benchmarks only.
        .target(
            name: "ProtobufOracle",
            dependencies: ["CDqliteProtocol", .product(name: "SwiftProtobuf", package: "swift-protobuf")],
            path: "Tests/ProtobufOracle", exclude: ["Generated/schema.descriptors"]),
        .testTarget(
            name: "DqliteProtocolTests",
            dependencies: [
                "DqliteFuzzing", "DqliteProtocol", "DqliteWire", "ProtobufOracle", "TestSupport",
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            exclude: ["Fixtures"], swiftSettings: settings),
        .testTarget(
            name: "GeneratorTests",
            dependencies: ["DqliteProtocol", "DqliteWire", "GoldenMessages", "ProtocolGenerator"],
            exclude: ["SchemaEvolutionProgram.txt"], swiftSettings: settings),
        .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: settings),
        // A disk for logs that loses, tears and forgets.
        .target(
            name: "LogSimulation", dependencies: ["DqliteLog", "TestSupport"], path: "Tests/LogSimulation",
            swiftSettings: settings),
        // Whole clusters in one process and made-up time.
        .target(
            name: "DqliteSimulation",
            dependencies: [
                "CReplicaPager", "DqliteEngine", "DqliteLog", "DqliteProtocol", "DqliteRaft", "DqliteWire",
                "LogSimulation", "TestSupport", "TortureChecks",
            ],
            path: "Tests/DqliteSimulation", swiftSettings: settings),
        .executableTarget(
            name: "simulate",
            dependencies: ["DqliteSimulation", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            path: "Tests/Simulate", swiftSettings: settings),
        .testTarget(
            name: "DqliteSimulationTests", dependencies: ["DqliteSimulation", "TestSupport"], swiftSettings: settings),
        .testTarget(name: "DqliteRaftTests", dependencies: ["DqliteRaft", "TestSupport"], swiftSettings: settings),
        .testTarget(
            name: "DqliteLogTests",
            dependencies: [
                "DqliteLog", "DqliteProtocol", "DqliteRaft", "DqliteWire", "LogSimulation", "TestSupport",
                "log-benchmark",
            ],
            exclude: ["Golden"], swiftSettings: settings),
        .testTarget(
            name: "DqliteEngineTests",
            dependencies: [
                "CReplicaPager", "DqliteEngine", "DqliteProtocol", "DqliteRaft", "DqliteWire", "TestSupport",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "DqliteClientTests",
            dependencies: [
                "DqliteClient", "DqliteFraming", "DqliteProtocol", "DqliteWire", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "DqliteNodeTests",
            dependencies: [
                "CReplicaPager", "DqliteClient", "DqliteEngine", "DqliteFraming", "DqliteLog", "DqliteNode",
                "DqliteProtocol", "DqliteRaft", "DqliteTesting", "DqliteWire", "LogSimulation", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
