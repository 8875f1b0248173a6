import ArgumentParser
import Foundation
import NodeProcess

/// Whose nodes.
enum Implementation: String, CaseIterable, ExpressibleByArgument, Sendable {
    case ours
    /// Debian's.
    case c

    var executable: URL {
        ServerProcess.binaries.appending(path: self == .ours ? "dqlite" : "c-dqlite-node")
    }

    /// - Parameter first: Address of the node that began the cluster, if it is another.
    func arguments(id: UInt64, address: String, directory: URL, first: String?) -> [String] {
        let path = directory.path(percentEncoded: false)
        switch self {
        case .ours:
            return ["node", "--id", "\(id)", "--address", address, "--data-dir", path]
                + (first.map { ["--join", $0] } ?? [])
        case .c: return ["\(id)", address, path]
        }
    }

    /// Whether a node that is started with the address of another asks to be added by itself.
    var joinsByItself: Bool { self == .ours }
}
