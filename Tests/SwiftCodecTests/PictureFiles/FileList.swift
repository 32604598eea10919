// SPDX-License-Identifier: BSD-3-Clause

import Foundation
import SwiftCodec

@testable import PictureFiles

/// A line of Fixtures/files/list.txt, as scripts/make_unusual_files.py describes it.
struct ListedFile: Sendable, CustomStringConvertible {
  enum Kind: String { case ycc, pixels, error }

  let kind: Kind
  let name: String
  let fields: [String]
  var description: String { name }

  static let directory = Fixtures.url("files")

  static func bytes(_ name: String, in directory: URL = directory) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: directory.appendingPathComponent(name)))
  }

  static func list(in directory: URL = directory) -> [ListedFile] {
    let text = (try? String(contentsOf: directory.appendingPathComponent("list.txt"), encoding: .utf8)) ?? ""
    return text.split(separator: "\n").compactMap { line in
      let fields = line.split(separator: "\t").map(String.init)
      guard fields.count >= 3, let kind = Kind(rawValue: fields[0]) else { return nil }
      return ListedFile(kind: kind, name: fields[1], fields: Array(fields[2...]))
    }
  }

  /// What is wrong with how the file is read, or nil.
  func problem(in directory: URL = directory) throws -> String? {
    let bytes = try ListedFile.bytes(name, in: directory)
    do throws(PictureFileError) {
      switch kind {
      case .error:
        _ = try PictureFile.read(bytes)
        return "read without an error"
      case .ycc: return try componentProblem(bytes, in: directory)
      case .pixels: return try pixelProblem(try PictureFile.read(bytes), in: directory)
      }
    } catch {
      let isExpected = kind == .error && error.description.contains(fields[0])
      return isExpected ? nil : "error: \(error.description)"
    }
  }

  private func expected(in directory: URL) throws -> LoadedPicture {
    try PNG.load(ListedFile.bytes(fields[0], in: directory))
  }

  /// Samples of all components, enlarged, before colour conversion: within 1 of libjpeg-turbo's.
  private func componentProblem(_ bytes: [UInt8], in directory: URL) throws(PictureFileError) -> String? {
    let planes: [[UInt8]]
    do throws(JPEGError) {
      var file = try JPEGFile(bytes, maximumPixels: 1 << 20)
      try file.readSegments()
      planes = file.fullPlanes().map(\.samples)
    } catch { throw .jpeg(error) }
    guard let expected = try? expected(in: directory).picture else { return "no reference" }
    guard expected.channels == planes.count else { return "\(planes.count) components" }
    var worst = 0
    for (c, plane) in planes.enumerated() {
      guard plane.count * planes.count == expected.samples.count else { return "wrong size" }
      for (i, sample) in plane.enumerated() {
        worst = max(worst, abs(Int(sample) - Int(expected.samples[i * planes.count + c])))
      }
    }
    let loaded = try PictureFile.read(bytes)
    guard loaded.picture.width == expected.width, loaded.picture.height == expected.height else { return "wrong size" }
    if loaded.picture.format == .yuv420 {
      guard Array(loaded.picture.samples[loaded.picture.planes[0].range]) == planes[0] else { return "luma changed" }
    }
    return worst <= 1 ? nil : "samples differ by up to \(worst)"
  }

  private func pixelProblem(_ loaded: LoadedPicture, in directory: URL) throws(PictureFileError) -> String? {
    guard let expected = try? expected(in: directory), let most = Int(fields[1]) else { return "no reference" }
    var picture = loaded.picture.rgbOrGrey(loaded.metadata.colour)
    var reference = expected.picture
    // A file of grey colours and a grey file may stand for each other.
    if picture.format != reference.format {
      picture = picture.tripled
      reference = reference.tripled
    }
    guard picture.width == reference.width, picture.height == reference.height else { return "wrong size" }
    let worst = zip(picture.samples, reference.samples).map { abs(Int($0) - Int($1)) }.max() ?? 0
    guard worst <= most else { return "samples differ by up to \(worst)" }
    guard loaded.alpha == expected.alpha else { return "alpha differs" }
    let warnings = loaded.warnings.map(\.description)
    if fields[2] == "-" { return warnings.isEmpty ? nil : "warnings \(warnings)" }
    return warnings.contains { $0.contains(fields[2]) } ? nil : "warnings \(warnings)"
  }
}

extension Picture {
  /// Grey as RGB.
  fileprivate var tripled: Picture {
    format == .grey ? makePicture(width, height, .rgb, samples.flatMap { [$0, $0, $0] }) : self
  }
}
