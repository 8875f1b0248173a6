import Logging
import Synchronization

/// Remembers what is logged.
final class RecordedLog: LogHandler {
    let events = Mutex<[(level: Logger.Level, message: String, metadata: Logger.Metadata)]>([])

    var logLevel: Logger.Level {
        get { .trace }
        set {}
    }
    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    subscript(metadataKey _: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) {
        self.events.withLock { $0.append((event.level, "\(event.message)", event.metadata ?? [:])) }
    }
}
