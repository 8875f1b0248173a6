import DqliteEngine
import DqliteLog
import Testing

@testable import DqliteNode

struct StorageConfigurationTests {
    private func configuration(
        _ change: (inout DqliteNodeConfiguration.Storage) -> Void = { _ in }
    ) -> DqliteNodeConfiguration {
        var configuration = DqliteNodeConfiguration(
            address: NodeAddress(host: "127.0.0.1", port: 0), dataDirectory: "data")
        change(&configuration.storage)
        return configuration
    }

    @Test func defaultsAreThoseOfEngineAndLog() throws {
        let configuration = self.configuration()
        try configuration.validate()
        let (engine, expected) = (configuration.engine(in: "databases"), EngineConfiguration(directory: "databases"))
        #expect(engine.directory == expected.directory)
        #expect(engine.batchesInFlight == expected.batchesInFlight)
        #expect(engine.maximumTransactionSize == expected.maximumTransactionSize)
        #expect(engine.maximumTransactionDuration == expected.maximumTransactionDuration)
        #expect(engine.transactionIdleLimit == expected.transactionIdleLimit)
        #expect(engine.softMemoryLimit == expected.softMemoryLimit)
        #expect(engine.hardMemoryLimit == expected.hardMemoryLimit)
        #expect(engine.checkpointPages == expected.checkpointPages)
        #expect(engine.checkpointIdleLimit == expected.checkpointIdleLimit)
        #expect(configuration.log == LogConfiguration())
    }

    @Test func everySettingGetsThere() throws {
        let configuration = self.configuration {
            $0.batchesInFlight = 2
            $0.maximumTransactionSize = 100 << 20
            $0.maximumTransactionDuration = .seconds(3)
            $0.transactionIdleLimit = .seconds(4)
            $0.softMemoryLimit = 5 << 20
            $0.hardMemoryLimit = 600 << 20
            $0.checkpointPages = 7
            $0.checkpointIdleLimit = .seconds(8)
            $0.maximumLogSize = 9 << 30
            $0.logSegmentSize = 2 << 20
        }
        try configuration.validate()
        let (engine, log) = (configuration.engine(in: "databases"), configuration.log)
        #expect(engine.batchesInFlight == 2)
        #expect(engine.maximumTransactionSize == 100 << 20)
        #expect(engine.maximumTransactionDuration == .seconds(3))
        #expect(engine.transactionIdleLimit == .seconds(4))
        #expect(engine.softMemoryLimit == 5 << 20)
        #expect(engine.hardMemoryLimit == 600 << 20)
        #expect(engine.checkpointPages == 7)
        #expect(engine.checkpointIdleLimit == .seconds(8))
        #expect(log.maximumLogSize == 9 << 30)
        #expect(log.segmentSize == 2 << 20)
        // Two of the largest transactions are one batch.
        #expect(log.maximumBatchSize >= 2 * engine.maximumTransactionSize)
    }

    @Test(
        arguments: [
            ("batchesInFlight", { @Sendable in $0.batchesInFlight = 0 }),
            ("maximumTransactionSize", { $0.maximumTransactionSize = 1 << 10 }),
            ("maximumTransactionSize", { $0.maximumTransactionSize = .max }),
            ("maximumTransactionSize", { $0.maximumTransactionSize = .min }),
            ("maximumTransactionDuration", { $0.maximumTransactionDuration = .zero }),
            ("transactionIdleLimit", { $0.transactionIdleLimit = .seconds(Int64.max) }),
            ("softMemoryLimit", { $0.softMemoryLimit = 1 << 40 }),
            ("hardMemoryLimit", { $0.hardMemoryLimit = 100 << 20 }),
            ("hardMemoryLimit", { $0.hardMemoryLimit = 0 }),
            ("checkpointPages", { $0.checkpointPages = .max }),
            ("checkpointIdleLimit", { $0.checkpointIdleLimit = .seconds(-1) }),
            ("maximumLogSize", { $0.maximumLogSize = 1 << 20 }),
            ("logSegmentSize", { $0.logSegmentSize = 4096 }),
            ("logSegmentSize", { $0.logSegmentSize = 600 << 20 }),
        ] as [(String, @Sendable (inout DqliteNodeConfiguration.Storage) -> Void)])
    func namesWhatCannotBe(name: String, change: @Sendable (inout DqliteNodeConfiguration.Storage) -> Void) {
        let error = #expect(throws: DqliteNodeError.self) { try self.configuration(change).validate() }
        #expect(error?.code == .invalidConfiguration)
        #expect(error?.message.hasPrefix("storage.\(name) is ") == true)
    }
}
