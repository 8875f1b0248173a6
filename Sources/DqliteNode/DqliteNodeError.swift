/// Why a node cannot start, or stopped.
public struct DqliteNodeError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Kind: String {
            case invalidConfiguration, address, dataDirectory, locked, identity, engine, stopped, configurationExists,
                cluster
        }
        private let kind: Kind
        private init(_ kind: Kind) { self.kind = kind }

        /// A setting that cannot be.
        public static let invalidConfiguration = Code(.invalidConfiguration)
        /// The address cannot be resolved or bound, or is refused because other machines can reach it.
        public static let address = Code(.address)
        /// The data directory cannot be used.
        public static let dataDirectory = Code(.dataDirectory)
        /// Another process, or another node of this one, uses the data directory.
        public static let locked = Code(.locked)
        /// The data directory belongs to another node.
        public static let identity = Code(.identity)
        /// The storage cannot start.
        public static let engine = Code(.engine)
        /// The data directory knows of a cluster already.
        public static let configurationExists = Code(.configurationExists)
        /// What was asked of the cluster was refused, or is not known to be done.
        public static let cluster = Code(.cluster)
        /// The node is not running any more, or was run before.
        public static let stopped = Code(.stopped)

        public var description: String { self.kind.rawValue }
    }

    /// What kind of failure it is.
    public var code: Code
    /// What failed and what to do, in one line.
    public var message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { self.message }
}
