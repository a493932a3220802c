// Numbers in, the top class and a map out: libtorch and a package that AOTInductor compiled from a .pt2, no TorchScript.

#include <ATen/ATen.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

using at::Tensor;
using Error = std::runtime_error;

const char* const usage = "usage: explain_aoti PACKAGE.pt2 IMAGE.f32 OUT.f32 [CLASS]";

// One preprocessed image, [C, H, W] in float32 as `x.numpy().tofile(...)` writes it.
Tensor read_image(const std::string& path, const std::vector<int64_t>& shape) {
    Tensor image = at::empty(shape, at::kFloat).unsqueeze(0);
    const auto bytes = static_cast<std::uintmax_t>(image.nbytes());
    if (!std::filesystem::is_regular_file(path)) throw Error("there is no file " + path + ": write the image first");
    if (std::filesystem::file_size(path) != bytes)
        throw Error(path + " should have " + std::to_string(bytes) + " bytes, as float32 of that shape has");
    std::ifstream file(path, std::ios::binary);
    if (!file.read(static_cast<char*>(image.data_ptr()), static_cast<std::streamsize>(bytes)))
        throw Error(path + " can't be read");
    return image;
}

void write(const std::string& path, const Tensor& map) {
    const Tensor values = map.contiguous();
    std::ofstream file(path, std::ios::binary);
    file.write(static_cast<const char*>(values.data_ptr()), static_cast<std::streamsize>(values.nbytes()));
    if (!file.flush()) throw Error(path + " can't be written: is there such a folder?");
}

int64_t number(const std::string& given, const std::string& what) {
    size_t read = 0;
    int64_t found = -1;
    try {
        found = std::stoll(given, &read);
    } catch (const std::exception&) {
        read = 0;
    }
    if (read == 0 || read != given.size() || found < 0) throw Error(given + " is no " + what + ": give a number");
    return found;
}

// What compile.py wrote beside the network: its input's sides and its classes. The network itself does not look.
std::vector<int64_t> told(torch::inductor::AOTIModelPackageLoader& net, const std::string& path) {
    const auto metadata = net.get_metadata();
    std::vector<int64_t> found;
    for (const char* const key : {"channels", "height", "width", "classes"}) {
        const auto entry = metadata.find(key);
        if (entry == metadata.end()) throw Error(path + " does not tell its " + key + ": compile it with compile.py");
        found.push_back(number(entry->second, key));
    }
    return found;
}

void run(const std::vector<std::string>& words) {
    if (words.size() < 3 || words.size() > 4) throw Error(usage);
    if (!std::filesystem::is_regular_file(words[0])) throw Error("there is no file " + words[0] + ": compile it first");
    torch::inductor::AOTIModelPackageLoader net(words[0]);
    std::vector<int64_t> shape = told(net, words[0]);
    const int64_t classes = shape.back();
    shape.pop_back();
    const Tensor image = read_image(words[1], shape);

    // The answer hangs on the seed in a linear way: of none the map is zero, and the logits are there all the same.
    Tensor seed = at::zeros({1, classes}, image.options());
    const Tensor logits = net.run({image, seed})[0];
    const int64_t top = logits.argmax().item<int64_t>();
    const int64_t asked = words.size() > 3 ? number(words[3], "class") : top;
    if (asked >= classes) throw Error("class " + words[3] + " is not one of 0.." + std::to_string(classes - 1));
    seed[0][asked] = 1;
    const std::vector<Tensor> answers = net.run({image, seed});

    std::printf("top class %ld, %.4f\n", long(top), logits[0].softmax(0)[top].item<double>());
    const Tensor& map = answers.back();
    std::printf("map of class %ld:", long(asked));
    for (const int64_t side : map.sizes()) std::printf(" %ld", long(side));
    std::printf(" float32, into %s\n", words[2].c_str());
    write(words[2], map.to(at::kFloat));
}

int main(int count, char** given) {
    std::string message;
    try {
        run({given + 1, given + count});
        return 0;
    } catch (const c10::Error& error) {
        message = error.what_without_backtrace();
    } catch (const std::exception& error) {
        message = error.what();
    }
    std::fprintf(stderr, "%s\n", message.substr(0, message.find('\n')).c_str());
    return 1;
}
